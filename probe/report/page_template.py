"""The report's templates (Jinja): the frame of every page, what pages share, and the page of one run.

They are kept in a module, so that a wheel needs no data files. Only charts (`svg`) and the style are marked safe.
"""

FRAME = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<link rel="icon" href="data:,">
<title>{{ title }}</title>
<style>{{ style | safe }}</style>
</head>
<body>
<main>
{% block main %}{% endblock %}
</main>
</body>
</html>
"""

SHARED = """
{% macro scroll(label) %}
<div class="scroll" tabindex="0" role="region" aria-label="{{ label }}">{{ caller() }}</div>
{% endmacro %}
{% macro figure(svg, caption) %}
<figure>{{ svg | safe }}<figcaption>{{ caption }}</figcaption></figure>
{% endmacro %}
{% macro tested(method) %}
{% if method.test %}{{ method.test.accuracy.value | decimal }}{% else %}–{% endif %}
{% endmacro %}
{% macro command(text) %}
<pre tabindex="0"><code>{% for word in text.split(" ") %}<span>{{ word }}</span>{{ " " if not loop.last }}{% endfor %}
</code></pre>
{% endmacro %}
{% macro fact(term, value) %}
<div><dt>{{ term }}</dt><dd>{{ value }}</dd></div>
{% endmacro %}
"""

RUN = """
{% extends "frame" %}
{% from "shared" import scroll, figure, tested, fact, command %}
{% block main %}
<header>
<p class="eyebrow">Head2Toe report</p>
<h1>{{ record.task }}</h1>
<p class="lead">{{ lead }}</p>
<dl class="facts">
{{ fact("classes", record.classes | length) }}
{{ fact("training images", "{:,}".format(record.counts.train)) }}
{{ fact("test images", "{:,}".format(record.counts.test) if record.counts.test else "none") }}
{{ fact("folds", record.folds | length) if folds else fact("held-out images", "{:,}".format(record.folds[0])) }}
{{ fact("backbone" ~ ("s" if record.backbones | length > 1 else ""), record.backbones | map(attribute="name") |
join(", ")) }}
{% if record.group %}{{ fact("group", record.group) }}{% endif %}
</dl>
</header>

<section>
<h2>Methods</h2>
<p>Settings were chosen by {{ record.metric | replace("_", " ") }} over {{ judges }}{% if folds %} of the training
images{% endif %}{% if on == "test" %}, then the test images were looked at once{% endif %}.</p>
<div class="grid">
{{ figure(dots, "Dot: test accuracy, with its 95 % bootstrap interval. Tick: " ~ ("mean over the folds." if folds else
   "accuracy on the held-out images.") if on == "test" else
   ("Nested cross-validation, with its 95 % bootstrap interval" if nested else "Mean over the folds" if folds else
   "On the held-out images") ~ "; there are no test images.") }}
{% if folds %}{{ figure(folds, "A dot for each fold at the chosen settings, a tick for their mean.") }}{% endif %}
</div>
{% call scroll("Methods") %}
<table>
<thead><tr><th class="text">method</th><th>test accuracy</th><th>95 %</th>
<th>{{ "folds ± s.e." if folds else "held out (95 %)" }}</th>
{% if nested %}<th>nested ± s.e.</th><th>95 %</th>{% endif %}
<th>balanced</th><th>AUROC</th><th>log-loss</th><th>features</th></tr></thead>
<tbody>
{% for m in record.methods %}
<tr{% if m.name == best.name %} class="best"{% endif %}>
<th scope="row">{{ m.name }}{% if m.name == best.name %} <span class="mark">best</span>
{% elif m.name in level %} <span class="mark">level</span>{% endif %}</th>
<td>{{ tested(m) }}</td>
<td>{{ (m.test.accuracy.interval if m.test else none) | interval }}</td>
<td>{% if folds %}{{ m.cv.accuracy | plus_minus }}{% else %}{{ m.cv.accuracy.mean | decimal }}
({{ m.cv.accuracy.get("interval") | interval }}){% endif %}</td>
{% if nested %}
<td>{% if m.nested %}{{ m.nested.accuracy | plus_minus }}{% else %}–{% endif %}</td>
<td>{{ (m.nested.accuracy.interval if m.nested else none) | interval }}</td>
{% endif %}
{% for metric in ("balanced_accuracy", "auroc", "log_loss") %}
<td>{{ (m.test[metric].value if m.test else m.cv[metric].mean) | decimal }}</td>
{% endfor %}
<td>{{ "{:,}".format(m.features.kept) }}</td>
</tr>
{% endfor %}
</tbody></table>
{% endcall %}
<p class="note"><b>best</b>: the highest accuracy. <b>level</b>: McNemar's exact test does not tell it from the best
(p ≥ 0.05). The tests are taken one by one: among many methods, one in twenty that is level would be found different by
chance. {{ "The folds" if folds else "The held-out images" }} chose the settings, so that
{{ "their means are" if folds else "what they say is" }} a little hopeful.
{% if nested %}<b>nested</b>: every fold judged by a head whose settings, too, were chosen without it, on the other
folds; that is not hopeful.{% endif %}</p>
{% if pairs %}
<details><summary>Each method against {{ best.name }}</summary>
{% call scroll("Comparisons with the best method") %}
<table>
<thead><tr><th class="text">method</th><th>{{ best.name }} is ahead by</th><th>95 %</th>
<th>only {{ best.name }} right</th>
<th>only it right</th><th>McNemar p</th></tr></thead>
<tbody>
{% for p in pairs %}
<tr><th scope="row">{{ p.other }}</th><td>{{ "%.1f" | format(p.points) }} points</td>
<td>{{ "%.1f to %.1f" | format(p.ends[0], p.ends[1]) }}</td><td>{{ p.wins[0] }}</td><td>{{ p.wins[1] }}</td>
<td>{{ "< 0.001" if p.p < 0.001 else "%.3f" | format(p.p) }}</td></tr>
{% endfor %}
</tbody></table>
{% endcall %}
</details>
{% endif %}
<details><summary>Settings chosen</summary>
{% call scroll("Chosen settings") %}
<table>
<thead><tr><th class="text">method</th><th class="text">settings</th><th>tried</th></tr></thead>
<tbody>
{% for m in record.methods %}
<tr><th scope="row">{{ m.name }}</th><td class="text wrap">
{% for key, value in m.settings.items() %}{{ key | replace("_", " ") }} {{ value | plain }}{{ ", " if not loop.last }}
{% else %}nothing to choose{% endfor %}</td><td>{{ m.sweep | length }}</td></tr>
{% endfor %}
</tbody></table>
{% endcall %}
</details>
</section>

{% if layers or depth %}
<section>
<h2>Which layers are read</h2>
{% if layers %}
<p>The share of each layer's features that is kept, from the first layer (left) to the last; every chart has
a scale of its own.
{% if layers | length < record.methods | length %}Methods that are not shown read all of the layers they use, or a
single one.{% endif %}</p>
{% endif %}
<div class="grid">
{% for chart in layers %}
<figure><h3>{{ chart.method }}</h3>{{ chart.svg | safe }}
<details><summary>All {{ chart.layers | length }} layers</summary>
{% call scroll("Share of kept features by layer, " ~ chart.method) %}
<table><thead><tr><th class="text">layer</th><th>kept</th></tr></thead><tbody>
{% for name, share in chart.layers %}<tr><th scope="row">{{ name }}</th><td>{{ share | percent }}</td></tr>
{% endfor %}
</tbody></table>
{% endcall %}
</details></figure>
{% endfor %}
{% for chart in depth %}
<figure><h3>{{ chart.method }}: one layer alone</h3>{{ chart.svg | safe }}
<figcaption>{{ "Mean accuracy over the folds" if folds else "Accuracy on the held-out images" }} of a head on each layer
by itself, from the first to the last.</figcaption>
<details><summary>All {{ chart.layers | length }} layers</summary>
{% call scroll("Accuracy of each layer alone, " ~ chart.method) %}
<table><thead><tr><th class="text">layer</th><th>accuracy</th></tr></thead><tbody>
{% for name, accuracy in chart.layers %}<tr><th scope="row">{{ name }}</th><td>{{ accuracy | decimal }}</td></tr>
{% endfor %}
</tbody></table>
{% endcall %}
</details></figure>
{% endfor %}
</div>
</section>
{% endif %}

{% if curves %}
<section>
<h2>Accuracy against the settings</h2>
<p>{{ "Mean accuracy over the folds" if folds else "Accuracy on the held-out images" }}. Each point is the best of all
other settings that were tried at this value; {% if folds %}the band is one standard error over the folds,
{% endif %}the ring what was chosen.</p>
<div class="grid">
{% for chart in curves %}
<figure><h3>{{ "Features kept, F" if chart.symbol == "F" else "Strength of selection, " ~ chart.symbol }}</h3>
<ul class="key">{% for colour, name in chart.names %}<li style="--own: var(--line{{ colour }})">{{ name }}</li>{%
endfor %}
</ul>{{ chart.svg | safe }}</figure>
{% endfor %}
</div>
</section>
{% endif %}

<section>
<h2>How far its probabilities can be believed</h2>
<div class="grid">
{{ figure(reliability, best.name ~ " on the " ~
   ("test images" if best.calibration.on == "test" else "folds" if folds else "held-out images") ~
   ": on the dashed line, probabilities can be taken at their word; below it, it is too sure. The larger a dot, the more
   images; bins with fewer than five are left out.") }}
<div>
{% call scroll("Calibration") %}
<table>
<thead><tr><th class="text">method</th><th>ECE</th><th>temperature</th><th>ECE with it</th></tr></thead>
<tbody>
{% for m in record.methods %}
<tr{% if m.name == best.name %} class="best"{% endif %}><th scope="row">{{ m.name }}</th>
<td>{{ m.calibration.ece | decimal }}</td>
<td>{{ "%.2f" | format(m.calibration.temperature) }}</td><td>{{ m.calibration.ece_scaled | decimal }}</td></tr>
{% endfor %}
</tbody></table>
{% endcall %}
<p class="note">ECE: the expected gap between confidence and accuracy, in 15 bins. The temperature divides the
log-probabilities; it is fitted on the {{ "folds" if folds else "held-out images" }}.</p>
</div>
</div>
</section>

<section>
<h2>What is taken for what</h2>
{% if confusion %}
<div class="grid">
{{ figure(confusion.svg, "Rows: the true class. The stronger its colour, the larger a cell's share of the row" ~
   ("; numbers are images." if confusion.numbers else "." if confusion.names else "; classes by number, in label
order.")) }}
<div>
<h3>Most often confused</h3>
{% if confusion.top %}
{% call scroll("Most often confused classes") %}
<table><thead><tr><th class="text">true</th><th class="text">taken for</th><th>images</th></tr></thead><tbody>
{% for c in confusion.top %}<tr><th scope="row">{{ c.true }}</th><td class="text">{{ c.predicted }}</td>
<td>{{ c.count }} of {{ c.of }}</td></tr>
{% endfor %}
</tbody></table>
{% endcall %}
{% else %}<p>Nothing was confused.</p>{% endif %}
</div>
</div>
{% else %}<p>The run's folder holds no predictions of {{ best.name }}.</p>{% endif %}
</section>

{% if mistakes and mistakes.shown %}
<section>
<h2>The most confident mistakes</h2>
<p>Of {{ "{:,}".format(mistakes.of) }} images {{ best.name }} gets {{ "{:,}".format(mistakes.wrong) }} wrong; these
with the
highest probability.{% if mistakes.gone %} <b>{{ "Their images are" if mistakes.gone == mistakes.shown | length else
mistakes.gone ~ " images are" }} no longer where they were when the task was run, and can't be shown.</b>{% endif %}</p>
<ul class="images">
{% for m in mistakes.shown %}
<li>{% if m.src %}<img src="{{ m.src }}" alt="An image of {{ m.true }}, taken for {{ m.predicted }}: {{ m.id }}"
title="{{ m.id }}, true class {{ m.for_true | percent }}">
{% else %}<div class="gone" title="{{ m.id }}">no image</div>{% endif %}
<p>{{ m.true }}<br><span class="note">taken for</span> {{ m.predicted }}<br>
<span class="note">{{ m.confidence | percent }} sure</span></p></li>
{% endfor %}
</ul>
</section>
{% endif %}

<section>
<h2>What it costs</h2>
{% call scroll("Cost of each method") %}
<table>
<thead><tr><th class="text">method</th><th>seconds</th><th>training FLOPs</th><th>kept for the task</th>
<th>features read</th></tr></thead>
<tbody>
{% for c in cost %}
<tr{% if c.name == best.name %} class="best"{% endif %}><th scope="row">{{ c.name }}</th><td>{{ c.seconds }}</td>
<td>{{ c.flops }}</td>
<td>{{ c.bytes }}</td><td>{{ c.kept }}</td></tr>
{% endfor %}
</tbody></table>
{% endcall %}
<p class="note">Seconds: search, refit and prediction, reading the store included; extraction is not, it is done once
for
all methods. Training FLOPs are estimated, and hold one pass of the backbone over the training images where a method
reads features.
Kept: what this task adds to the backbone, or a network of its own. A dash where a method does not say.</p>
</section>

<section>
<h2>What was run</h2>
{{ command(record.command) }}
<p>Images and labels: {{ record.source }}</p>
{% for note in record.get("notes", []) %}
<p class="note">{{ note }}</p>
{% endfor %}
{% if record.get("skipped") %}
<p class="note">{{ record.skipped | length }} unreadable images were left out.</p>
{% endif %}
<dl class="facts">
{{ fact("seed", record.seed) }}
{% for key, value in record.get("provenance", {}).items() %}
{{ fact(key | replace("_", " "), value | plain) }}{% endfor %}
{% for package, number in record.versions.items() %}{{ fact(package, number) }}{% endfor %}
</dl>
{% for b in record.backbones %}
<details><summary>Backbone {{ b.name }}</summary>
<dl class="facts">
{% for key, value in b.items() %}{% if key != "name" %}
{% if value is mapping %}{% for k, v in value.items() %}
{{ fact(("store at target size " if key == "stores" else "") ~ k | replace("_", " "), v | plain) }}{% endfor %}
{% else %}{{ fact(key | replace("_", " "), value | plain) }}{% endif %}{% endif %}{% endfor %}
</dl></details>
{% endfor %}
<details><summary>Resolved configuration</summary>
<dl class="facts">
{% for key, value in record.options.items() %}{{ fact(key | replace("_", " "), value | plain) }}{% endfor %}
</dl>
</details>
</section>
{% endblock %}
"""
