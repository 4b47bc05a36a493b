"""How Sphinx builds the website: `make docs`. The sources are collected by tools/website.py."""

from importlib.metadata import metadata

project = "eventlab"
author = "eventlab developers"
copyright = "eventlab developers"
version = release = metadata("eventlab")["Version"]
repository = dict(url.split(", ", 1) for url in metadata("eventlab").get_all("Project-URL", []))[
    "Homepage"
]

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
]
root_doc = "index"
suppress_warnings = [
    "mystnb.unknown_mime_type",  # the state of a widget, whose text is shown beside it
]

# The pages show the stored outputs, which CI compares with real runs: nothing runs here.
nb_execution_mode = "off"
nb_merge_streams = True
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 4

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True
add_module_names = False
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

html_theme = "sphinx_book_theme"
html_title = "eventlab"
html_static_path = ["_static"]
html_css_files = ["narrow.css"]
html_theme_options = {
    "use_download_button": True,
    "show_navbar_depth": 1,
    "home_page_in_toc": True,
    "navbar_persistent": [],
}
if "OWNER" not in repository:  # pyproject.toml names the repository
    html_theme_options |= {
        "repository_url": repository,
        "use_repository_button": True,
        "launch_buttons": {
            "binderhub_url": "https://mybinder.org",
            "notebook_interface": "jupyterlab",
        },
    }
