"""Texts that normalisation changes in every way it has."""

from lstm_flax.exporting.examples import EXAMPLE_TEXTS

STRANGE = [
    *EXAMPLE_TEXTS,
    "&lt;br /&gt; &amp;amp; &#8217;&#x2019; &nosuch; AT&T",
    "<BR>one<p/>two< / hr >three<b>four",
    "it\u00b4s \u201cfine\u201d \u2019cause `tis \x91so\x92 \x93yes\x94 \x81",
    "\ufeffzero\u200bwidth so\u00adft \u202eright\u202c ZWJ \U0001f468\u200d\U0001f469",
    "\u24c2\ufe0f \u24c2 \U0001f17f \uff21\uff22\uff23 \u00bd \u2460 \u1e9b\u0323 \u0130I",
    "tab\tnew\nline\r\nform\x0c unit\x1f nbsp\u00a0 ideographic\u3000 line\u2028sep",
    "lone \ud800 surrogate",
    "don't well-made -- 'quoted' a_b \u0915\u094d\u0937 \u00e9\u0301",
]
