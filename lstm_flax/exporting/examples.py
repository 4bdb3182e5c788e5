"""Texts of many kinds, used to check that an exported classifier gives the predictor's answers."""

EXAMPLE_TEXTS = (
    "A gentle, funny film that earns its tears.",
    "Two hours I will never get back.",
    "dull",
    "I don\u2019t think it\u2019s bad \u2014 7/10, \u201cwell-made\u201d, &amp; OK.<br /><br />",
    "Not   bad\u00a0at all.\tReally: NOT BAD. caf\u00e9, \ufb01ne \uff46\uff49\uff4c\uff4d \x85",
    "\u2764\ufe0f\U0001f3ac \u6620\u753b\u306f\u3068\u3066\u3082\u826f\u304b\u3063\u305f",
    "It starts well, and then it goes on and on. " * 60 + "But what an ending!",
)
