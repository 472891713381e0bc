"""How ``sphinx-build`` makes the site from this folder."""

from importlib.metadata import version as _version

from sphinx.util.nodes import make_refnode

project = "admmirnn"
author = copyright = "The admmirnn developers"
version = release = _version("admmirnn")

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.viewcode",
    "numpydoc",
    "myst_parser",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["examples", "draw_choosing.py"]  # what the gallery is made of
default_role = "py:obj"
myst_enable_extensions = ["dollarmath", "amsmath"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "none"  # docstrings say more
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False

sphinx_gallery_conf = {
    "examples_dirs": "examples",
    "gallery_dirs": "gallery",
    "within_subsection_order": "ExampleTitleSortKey",
    "filename_pattern": r"\.py$",  # all are run
    "abort_on_example_error": True,
    "download_all_examples": False,
    "show_signature": False,
    "write_computation_times": False,
    "capture_repr": (),  # what a program prints, and not what its last line is
}

html_static_path = ["_static"]
html_css_files = ["site.css"]
html_theme = "furo"
html_title = f"admmirnn {version}"


def whole_name(app, environment, node, contnode):
    """Resolve names in docstrings as they are written there, such as `Rollout.solve`."""
    if node.get("refdomain") != "py":
        return None
    python = environment.get_domain("py")
    matches = python.find_obj(
        environment, None, None, node["reftarget"].removesuffix("()"), "obj", searchmode=1
    )
    if len(matches) != 1:  # `fit` may be that of several classes
        return None
    (name, entry), document = matches[0], node["refdoc"]
    return make_refnode(app.builder, document, entry.docname, entry.node_id, contnode, name)


def setup(app):
    """Called by Sphinx."""
    app.connect("missing-reference", whole_name)
