"""Calls of the public methods, each a function of a signal that is sparse or dense.

`CASES` maps the name of a method to its calls; `NOT_COMPARED` names what no comparison of results
can judge, with the reason. A method in neither turns up as untested. The signal has scan
(y, x) = (3, 5) and detector (ky, kx) = (16, 12); a call whose name starts with ``f_`` gets floats.
"""

from analysis_cases import ANALYSIS
from arithmetic_cases import ARITHMETIC
from diffraction_cases import DIFFRACTION
from signal_cases import SIGNALS

CASES = {**ARITHMETIC, **SIGNALS, **DIFFRACTION, **ANALYSIS}

NOT_COMPARED = {
    "add_interactive_line_profile": "draws widgets; its data come from plot, which is compared",
    "export_bss_results": "as export_decomposition_results, of random components",
    "plot_bss_factors": "as plot_decomposition_factors, of components in random order",
    "plot_bss_loadings": "as plot_decomposition_loadings, of components in random order",
    "plot_bss_results": "draws both",
    "plot_cluster_results": "draws plot_cluster_signals and plot_cluster_labels with a slider",
    "plot_cumulative_explained_variance_ratio": "the old name of plot_cumulative_scree_plot",
    "plot_decomposition_results": "draws plot_decomposition_factors and _loadings with a slider",
    "plot_explained_variance_ratio": "the old name of plot_scree_plot",
}
