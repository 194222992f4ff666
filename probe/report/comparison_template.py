"""The report's template (Jinja) of the page that compares several runs."""

COMPARISON = """
{% extends "frame" %}
{% from "shared" import scroll, figure, fact, command %}
{% macro rows(table) %}
{% for group in table.groups %}
{% if table.groups | length > 1 or group.name != "other" %}
<tr class="group"><th scope="rowgroup" colspan="{{ table.columns | length + 1 }}">{{ group.name }}</th></tr>
{% endif %}
{% for row in group.rows %}
<tr><th scope="row">{{ row.name }}</th>
{% for cell in row.cells %}
{% if cell %}<td{% if cell.best %} class="best"{% endif %} title="95 %: {{ cell.interval | interval }}">{{ cell.value
| decimal }}
{%- if cell.level %}<span class="mark" aria-label="level with the best">≈</span>{% endif %}</td>{% else %}<td>–</td>{%
endif %}
{% endfor %}</tr>
{% endfor %}
{% if group.mean and table.groups | length > 1 %}
<tr class="mean"><th scope="row">mean of {{ group.rows | length }}</th>{{ means(group.mean) }}</tr>
{% endif %}
{% endfor %}
{% if table.mean %}
<tr class="total"><th scope="row">mean of all {{ table.tasks }}</th>{{ means(table.mean) }}</tr>
{% endif %}
{% endmacro %}
{% macro means(cells) %}
{% for cell in cells %}{% if cell %}<td{% if cell.best %} class="best"{% endif %}>{{ cell.value | decimal }}</td>
{% else %}<td>–</td>{% endif %}{% endfor %}
{% endmacro %}
{% block main %}
<header>
<p class="eyebrow">Head2Toe report</p>
<h1>{{ tasks | length }} task{{ "s" if tasks | length != 1 }} compared</h1>
<dl class="facts">
{{ fact("runs", runs | length) }}
{{ fact("tasks", tasks | length) }}
{{ fact("backbone" ~ ("s" if backbones | length > 1 else ""), backbones | join(", ")) }}
</dl>
{% if older %}<p class="note">{{ older }} older run{{ "s" if older > 1 }} of the same task and backbone left
out.</p>{% endif %}
</header>

{% for table in tables %}
<section>
<h2>{{ "Test accuracy" if tested else "Accuracy" }}{% if tables | length > 1 %}, {{ table.backbone }}{% endif %}</h2>
{% call scroll("Tasks and methods, " ~ table.backbone) %}
<table>
<thead><tr><th class="text">task</th>{% for name in table.columns %}<th>{{ name }}</th>{% endfor %}</tr></thead>
<tbody>
{{ rows(table) }}
</tbody></table>
{% endcall %}
</section>
{% endfor %}
<p class="note">Shaded: the highest of its row. ≈: McNemar's exact test does not tell it from that (p ≥ 0.05), each test
for itself. Means are of tasks alike, and only of columns that every task of the mean has.{% if not tested %} Where a
task has no test images, the mean over the folds stands.{% endif %}</p>

{% if across %}
<section>
<h2>Backbones</h2>
<p>Accuracy of {{ across.method }}, the method with the highest mean.</p>
{% call scroll("Tasks and backbones") %}
<table>
<thead><tr><th class="text">task</th>{% for name in across.columns %}<th>{{ name }}</th>{% endfor %}</tr></thead>
<tbody>
{{ rows(across) }}
</tbody></table>
{% endcall %}
</section>
{% endif %}

<section>
<h2>Task by task</h2>
<p>Dot: test accuracy, with its 95 % bootstrap interval. Tick: mean over the folds. Every chart has an axis of its
own.</p>
<div class="grid">
{% for chart in dots %}
<figure>
<h3>{{ chart.task }}{% if backbones | length > 1 %} <span class="mark">{{ chart.backbone }}</span>{% endif %}</h3>
{{ chart.svg | safe }}</figure>
{% endfor %}
</div>
</section>

<section>
<h2>What was run</h2>
{% for run in runs %}
<details><summary>{{ run.record.task }}, {{ run.backbone }}</summary>
{{ command(run.record.command) }}
<p class="note">Seed {{ run.record.seed }}. {{ run.record.counts.train }} training and {{ run.record.counts.test }} test
images, {{ run.record.classes | length }} classes. {{ run.folder }}</p></details>
{% endfor %}
</section>
{% endblock %}
"""
