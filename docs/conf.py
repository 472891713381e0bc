"""How ``sphinx-build`` makes the site from this folder."""

from importlib.metadata import version as _version

project = "admmirnn"
author = "The admmirnn developers"
version = release = _version("admmirnn")

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.viewcode",
    "numpydoc",
    "myst_parser",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["examples"]  # what the gallery is made of
default_role = "py:obj"
myst_enable_extensions = ["dollarmath", "amsmath"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False

sphinx_gallery_conf = {
    "examples_dirs": "examples",
    "gallery_dirs": "gallery",
    "filename_pattern": r"\.py$",  # all are run
    "abort_on_example_error": True,
    "download_all_examples": False,
    "show_signature": False,
    "write_computation_times": False,
}

html_theme = "furo"
html_title = f"admmirnn {version}"


def whole_name(app, environment, node, contnode):
    """Resolve names in docstrings as they are used there, such as `RNNClassifier` or `Rollout.solve`."""
    if node.get("refdomain") != "py" or "refspecific" in node:
        return None
    node["refspecific"] = True
    python = environment.get_domain("py")
    return python.resolve_xref(environment, node["refdoc"], app.builder, "obj", f".{node['reftarget']}", node, contnode)


def setup(app):
    """Called by Sphinx."""
    app.connect("missing-reference", whole_name)
