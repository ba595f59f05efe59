"""Small templates for make_template_golden.py: a source, or (source, variables)."""

PEOPLE = {
    "people": [
        {"name": "Ann", "age": 31, "city": "Bern", "tags": ["a", "b"]},
        {"name": "bob", "age": 25, "city": "Uri"},
        {"name": "Cyd", "age": 31, "city": "bern", "on": True},
    ]
}
MIXED = {
    "none": None, "yes": True, "no": False, "one": 1, "zero": 0, "pi": 3.14159, "ten": 10.0,
    "word": "hello", "empty": "", "list": [1, 2, 3, 4, 5], "nested": [1, [2, [3, "x"]], {"k": None}],
    "map": {"b": 1, "a": 2, "items": 3, "C": 4}, "text": "Hello World, how are you?",
    "uni": "Grüße 世界 👩‍🚀", "spaces": " \t a b \n ", "lines": "one\ntwo\r\nthree\n\nfive",
    "html": "<a href='x'>&\"</a>", "neg": -7, "big": 123456789012,
}


def each(template, names):
    """The template with @ replaced by each of the names."""
    return [(template.replace("@", name), MIXED) for name in names.split()]


VALUES = ("none yes no one zero pi ten word empty list nested map text uni spaces lines html neg "
          "big missing")

WHITESPACE = [
    "", "\n", "\n\n", "a\n", "a\n\n", "a\r\nb\rc\n", "  a  ",
    "{% if true %}\nx\n{% endif %}\ny", "a\n  {% if true %}\n  b\n  {% endif %}\nc",
    "a {% if true %} b {% endif %} c", "a\n  {%+ if true %}\n  b\n  {%+ endif %}\nc",
    "a\n  {%- if true %}\n  b\n  {%- endif %}\nc", "a\n{% if true -%}\n  b\n{% endif -%}\n c",
    "a\n{% if true +%}\n  b\n{% endif +%}\n c", "{% if true %}  \n x{% endif %}",
    "  {{ 1 }}  \n  {{ 2 }}\n", "  {{- 1 -}}  \n  {{- 2 -}}\n x", "  {{+ 1 }}",
    "a\n\n\n{%- if true %}\n\nb{% endif %}", "{# c #}\nx", "  {# c #}\nx", "x {# c #}\ny",
    "x\n  {#- c -#}\n  y", "x\n  {#+ c +#}\n  y", "{# a {{ b }} {% c %} #}", "{##}x", "{#-#} x",
    "{#--#} x", "a{# multi\nline\n#}\nb", "{% raw %}{{ x }}{% endraw %}",
    "{% raw %}\n{{ x }}\n{% endraw %}\n|", "  {% raw %}\n  a {% b %}\n  {% endraw %}\n|",
    "a  {%- raw -%}  x  {%- endraw -%}  b", "{% raw %} {% endraw +%}\nx", "{%raw%}a{%endraw%}",
    "{% raw %}{% raw %}{% endraw %}", "\t{% set x = 1 %}\t\n{{ x }}", "\u00a0{% set x = 1 %}x",
    "x\u2003{%- set x = 1 -%}\u2003y", "{% set x = 1 %}{% set y = 2 %}\n{{ x }}{{ y }}\n",
    "a\n    {% set x = 1 %}b\n    {% set x = 2 %}\n  c", "{{ 'a' }}\n{{ 'b' }}\n\n{{ 'c' }}\n",
    "{% for i in [1,2] %}\n  {{ i }}\n{% endfor %}\n", "{% for i in [1,2] -%}\n  {{ i }}\n{%- endfor %}\n",
    "{%- for i in [1,2] %}{{ i }}\n{% endfor -%}\n\n x", "{{ '\\n' }}\n{% if 1 %}\n{% endif %}\n\n",
    "{{\n1\n}}", "{%\nif\ntrue\n%}\nx{%\nendif\n%}", "a{{ 1 }}\n{% if 1 %}b{% endif %}", "{", "{{ '{' }}{", "{ {% if 1 %}{ {%endif%}",
    "}} %} #}", "{{ '}}' }}{{ '%}' }}", "{{ {'a': {'b': 1}}['a']['b'] }}", "{{ {'a':{}} }}",
    "a\n{% if true %}\n\n\nb\n{% endif %}\n\n\n", "\n\n  {% if true %}x{% endif %}", "x\v {% if 1 %}y{% endif %}",
]

PRINTING = each("{{ @ }}", VALUES) + each("{{ [@, (@,)] }}", VALUES.replace(" missing", "")) + [
    "{{ 1.0 }} {{ 1e16 }} {{ 1e15 }} {{ 1e-5 }} {{ 0.0001 }} {{ 123456.789e3 }} {{ 1.5e300 * 1e10 }}",
    "{{ 0.1 + 0.2 }} {{ 1/3 }} {{ 2/2 }} {{ 1e22 }} {{ -0.0 }} {{ 5e-324 }} {{ 1.7976931348623157e308 }}",
    "{{ 100000000000000000.0 }} {{ 1234567890123456.7 }} {{ 12345678901234567.8 }}",
    "{{ 1_000 }} {{ 0x1F }} {{ 0b101 }} {{ 0o17 }} {{ 1_0.5_0 }} {{ 1e3 }} {{ 1E-2 }}",
    "{{ true }} {{ True }} {{ none }} {{ None }} {{ false }}",
    "{{ 'a' 'b' \"c\" }}", "{{ 'it\\'s' }} {{ \"q\\\"q\" }} {{ '\\\\' }} {{ '\\t|\\n|' }} {{ '\\x41\\u00e9\\U0001F600' }} {{ '\\d' }} {{ '\\101' }}",
    "{{ ['a\\'b', \"a\\\"b\", 'a\\'\"b', '\\n\\t\\r\\\\', '\\x00\\x7f\\x80', '\\u200b\\ufeff', 'é世😀', '\\xa0\\xad'] }}",
    "{{ () }} {{ (1,) }} {{ (1, 2) }} {{ 1, 2 }} {{ [] }} {{ {} }} {{ {1: 2, 'a': none, true: 1.5, none: 0} }}",
    "{{ [[]] }} {{ [{}] }} {{ {'a': [1, {'b': (2, 3)}]} }}", "{{ {'a': 1}.items() }} {{ {'a': 1}.keys() }} {{ {'a': 1}.values() }}",
    "{{ range(3) }} {{ range(1, 7, 2) }} {{ range(3)|list }} {{ range(5)[1:3] }} {{ range(3)[1] }} {{ range(5)|length }}",
    "{{ {1: 'a', 1.0: 'b', true: 'c'} }}", "{{ {'a': 1, 'a': 2} }}",
]

OPERATORS = [
    "{{ 1 + 2 * 3 - 4 / 2 }} {{ (1 + 2) * 3 }} {{ 7 // 2 }} {{ -7 // 2 }} {{ 7 % 3 }} {{ -7 % 3 }} {{ 7 % -3 }}",
    "{{ 7.5 // 2 }} {{ -7.5 // 2 }} {{ 7.5 % 2 }} {{ -7.5 % 2 }} {{ 2 ** 10 }} {{ 2 ** -1 }} {{ 2 ** 0.5 }} {{ 2 ** 3 ** 2 }} {{ -2 ** 2 }}",
    "{{ 1 + 1.0 }} {{ true + true }} {{ 3 * true }} {{ 4 / 2 }} {{ 10 - 2 - 3 }} {{ 2 * 3 % 4 }} {{ +5 }} {{ - 5 }} {{ --5 }}",
    "{{ 'a' + 'b' }} {{ 'ab' * 3 }} {{ 3 * 'ab' }} {{ 'a' * -1 }}| {{ [1] + [2] }} {{ [1, 2] * 2 }} {{ (1,) + (2,) }}",
    "{{ 'a' ~ 1 ~ none ~ true ~ 1.5 ~ [1] }} {{ 1 ~ 2 + 3 }} {{ 1 + 2 ~ 3 }} {{ 'x' ~ missing ~ 'y' }}",
    "{{ 1 < 2 }} {{ 1 < 2 < 3 }} {{ 3 > 2 > 2 }} {{ 1 == 1.0 }} {{ 1 == true }} {{ 'a' < 'b' }} {{ [1,2] < [1,3] }} {{ (1,) == [1] }}",
    "{{ 1 != 2 }} {{ 'a' == 'a' }} {{ none == none }} {{ none == false }} {{ {'a': 1} == {'a': 1.0} }} {{ [1] == [1] }} {{ {'a':1,'b':2} == {'b':2,'a':1} }}",
    "{{ 1 in [1, 2] }} {{ 3 not in [1, 2] }} {{ 'a' in 'abc' }} {{ 'a' in {'a': 1} }} {{ '' in 'abc' }} {{ 1 in {1.0: 2} }} {{ 'x' in missing }}",
    "{{ not true }} {{ not 1 == 2 }} {{ true and 0 }} {{ 0 or 'x' }} {{ 1 and 2 or 3 }} {{ not [] }} {{ [] or {} or 0 or none }}",
    "{{ 'yes' if 1 else 'no' }} {{ 'yes' if 0 }}| {{ 1 if 0 else 2 if 0 else 3 }} {{ (1 if true else 2) + 1 }}",
    "{{ 1 if true else 1 / 0 }} {{ true or missing.x }} {{ false and missing.x }}",
    "{{ missing == missing2 }} {{ missing != 1 }} {{ missing == none }} {{ missing is defined }} {{ not missing }}",
    "{{ 1 < 'a' }}", "{{ 1 + 'a' }}", "{{ 'a' + 1 }}", "{{ [1] + (2,) }}", "{{ none + 1 }}", "{{ missing + 1 }}", "{{ 1 - missing }}", "{{ 1 / 0 }}", "{{ 1 % 0 }}",
    "{{ 1 // 0 }}", "{{ 1.0 / 0 }}", "{{ 'a' - 'b' }}", "{{ -'a' }}", "{{ {} < {} }}", "{{ none < 1 }}", "{{ 1 in 2 }}", "{{ 1 in 'abc' }}", "{{ 1 in none }}", "{{ missing < 1 }}", "{{ -missing }}",
    "{{ '%s and %s' % ('a', 1) }} {{ '%d' % 3.7 }} {{ '%05.2f' % 3.14159 }} {{ '%x' % 255 }} {{ '%r' % 'a' }} {{ '%s' % none }} {{ '%5s|%-5s|' % ('a', 'b') }}",
    "{{ '%(a)s' % {'a': 1} }} {{ '100%%' % () }} {{ '%s' % [1, 2] }} {{ '%+d % d' % (1, 2) }} {{ '%e' % 12345.678 }} {{ '%g' % 0.0001 }} {{ '%c' % 65 }} {{ '%3d|%03d' % (5, 5) }}",
    "{{ '%s %s' % 'a' }}", "{{ 'a' % 'b' }}", "{{ '%d' % 'a' }}", "{{ '%(a)s' % 1 }}", "{{ '%' % 1 }}",
    "{{ 1 is number and 2 is number }} {{ 1 is not string }} {{ not 1 is string }} {{ 4 is divisibleby 2 }} {{ 4 is divisibleby(3) }}",
    "{{ 2 ** 62 - 1 + 2 ** 62 }}", "{{ 1 if 1 else 2 if 3 else 4 }}", "{{ [1, 2, 3][0] + 1 }}", "{{ 'a' 'b' ~ 'c' 'd' }}", "{{ 1.5.real }}|{{ 'a'.b.c }}",
    "{{ 2 * -3 }} {{ 2 - -3 }} {{ -1|abs }} {{ -1.5|abs }} {{ (-1)|abs }} {{ 2 + -1|abs }}",
    "{{ 'b' in 'abc' and 'z' not in 'abc' }} {{ not 'a' in 'abc' }} {{ 1 == 1 in [true] }}",
]

ACCESS = [
    ("{{ map.a }} {{ map['a'] }} {{ map.missing }}| {{ map['missing'] }}| {{ map.items is callable }} {{ map['items'] }}", MIXED),
    ("{{ list[0] }} {{ list[-1] }} {{ list[9] }}| {{ list.0 }} {{ list[true] }} {{ list['x'] }}| {{ list[1.5] }}|", MIXED),
    ("{{ list[1:] }} {{ list[:2] }} {{ list[::2] }} {{ list[::-1] }} {{ list[-2:] }} {{ list[3:1] }} {{ list[3:1:-1] }} {{ list[10:] }} {{ list[:-10] }} {{ list[::-2] }} {{ list[4:0:-2] }} {{ list[-100:100] }}", MIXED),
    ("{{ word[0] }} {{ word[-1] }} {{ word[9] }}| {{ word[1:3] }} {{ word[::-1] }} {{ word[::2] }} {{ word[-3:] }} {{ word[:-1] }} {{ word[-9] }}| {{ word[-5] }}", MIXED),
    ("{{ uni[1] }} {{ uni[6:8] }} {{ uni[::-1] }} {{ uni[-1] }} {{ uni|length }} {{ uni[2:5] }} {{ uni[-4:-1] }}", MIXED),
    ("{{ nested[1][1][1] }} {{ nested[2].k }} {{ nested[2]['k'] }} {{ nested.2.k }}", MIXED),
    ("{{ list[none:2] }} {{ list[1:none] }} {{ (1,2,3)[1:] }} {{ (1,2,3)[::-1] }}", MIXED),
    ("{{ missing.a }}", MIXED), ("{{ missing['a'] }}", MIXED), ("{{ map.missing.a }}", MIXED), ("{{ none.a }}|{{ none['a'] }}|{{ one.a }}|{{ one[0] }}|", MIXED), ("{{ missing[1:] }}", MIXED), ("{{ nil[1:] }}", {"nil": None}), ("{{ map[1:] }}", MIXED), ("{{ list[::0] }}", MIXED), ("{{ list['a':] }}", MIXED),
    ("{{ missing() }}", MIXED), ("{{ one() }}", MIXED), ("{{ map.a() }}", MIXED), ("{{ list.append(1) }}", MIXED), ("{{ list.append }}|", MIXED), ("{{ map.update({}) }}", MIXED), ("{{ map.pop('a') }}", MIXED), ("{{ list.append is defined }}", MIXED), ("{{ ''.__class__ }}|", MIXED), ("{{ ''.__class__.__mro__ }}", MIXED), ("{{ map.__len__ }}|{{ map._x }}|", MIXED),
    ("{{ map[[1]] }}|{{ map[none] }}|{{ map[(1,2)] }}|", MIXED), "{{ {none: 1}[none] }} {{ {1: 'x'}[1.0] }} {{ {(1, 2): 'y'}[1, 2] }} {{ {[]: 1} }}",
    "{{ {'a': 1}['a'] }} {{ [1, 2][1] }} {{ 'abc'[1] }} {{ {'get': 1}.get('get') }} {{ {'get': 1}['get'] }}",
    "{{ ''.join(['a', 'b']) }} {{ '-'.join('abc') }} {{ ','.join({'a': 1, 'b': 2}) }}", "{{ ''.join([1]) }}",
]

STRINGS = [
    ("{{ spaces.strip() }}|{{ spaces.lstrip() }}|{{ spaces.rstrip() }}|{{ 'xxaxx'.strip('x') }}|{{ 'xyaxy'.lstrip('yx') }}|{{ 'axy'.rstrip('yx') }}|{{ '\\u3000a\\u00a0'.strip() }}|{{ 'éaé'.strip('é') }}|", MIXED),
    ("{{ 'a,b,,c'.split(',') }} {{ ' a  b '.split() }} {{ 'a,b,c'.split(',', 1) }} {{ 'a b c'.split(none, 1) }} {{ ' a b '.split(maxsplit=1) }} {{ ''.split() }} {{ ''.split(',') }} {{ 'abc'.split('abc') }} {{ 'a--b--c'.split('--', maxsplit=1) }}", MIXED),
    "{{ 'a,b,c'.rsplit(',', 1) }} {{ ' a b c '.rsplit(none, 1) }} {{ 'aaa'.rsplit('aa') }} {{ 'aaa'.split('aa') }} {{ 'a b'.rsplit() }} {{ 'x'.rsplit('y') }}", "{{ 'a'.split('') }}",
    "{{ 'abc'.startswith('ab') }} {{ 'abc'.startswith(('x', 'a')) }} {{ 'abc'.endswith('bc') }} {{ 'abc'.endswith(('x', 'c')) }} {{ 'abc'.startswith('b', 1) }} {{ 'abc'.startswith('') }} {{ 'abc'.startswith('c', -1) }} {{ 'abc'.endswith('b', 0, 2) }} {{ 'abc'.startswith('', 4) }}", "{{ 'a'.startswith(1) }}", "{{ 'a'.startswith(['a']) }}",
    "{{ 'aXbXc'.replace('X', '-') }} {{ 'aaa'.replace('a', 'b', 2) }} {{ 'abc'.replace('', '-') }} {{ ''.replace('', 'x') }} {{ 'abc'.replace('', '-', 2) }} {{ 'aé'.replace('é', '') }} {{ 'abc'.replace('b', '', 0) }}",
    "{{ 'hello World'.upper() }} {{ 'HeLLo'.lower() }} {{ \"they're bill's\".title() }} {{ 'hELLO wORLD'.capitalize() }} {{ 'aBc'.swapcase() }} {{ 'straße'.upper() }} {{ 'ÄÖÜ'.lower() }} {{ 'ß'.title() }} {{ 'x1y'.title() }}",
    "{{ 'abcabc'.find('c') }} {{ 'abc'.find('x') }} {{ 'abcabc'.rfind('c') }} {{ 'abcabc'.find('c', 3) }} {{ 'äbc'.find('c') }} {{ 'abcabc'.index('b') }} {{ 'aaaa'.count('aa') }} {{ 'abc'.count('') }} {{ 'abc'.find('') }} {{ 'abc'.rfind('') }} {{ 'abcabc'.count('b', 2) }} {{ 'abcabc'.rindex('b') }} {{ 'abc'.find('a', 1, 2) }}", "{{ 'abc'.index('x') }}",
    "{{ '12'.isdigit() }} {{ ''.isdigit() }} {{ 'ab'.isalpha() }} {{ 'a1'.isalnum() }} {{ ' \\t'.isspace() }} {{ 'AB'.isupper() }} {{ 'ab1'.islower() }} {{ '1'.islower() }} {{ 'é'.isascii() }} {{ ''.isascii() }} {{ 'é'.isalpha() }} {{ '٣'.isdecimal() }} {{ '1.5'.isnumeric() }}",
    ("{{ lines.splitlines() }} {{ lines.splitlines(true) }} {{ ''.splitlines() }} {{ '\\n'.splitlines() }} {{ 'a\\u2028b\\x0bc'.splitlines() }}", MIXED),
    "{{ 'a=b=c'.partition('=') }} {{ 'abc'.partition('x') }} {{ 'a=b=c'.rpartition('=') }} {{ 'abc'.rpartition('x') }} {{ 'prefix-x'.removeprefix('prefix-') }} {{ 'x.py'.removesuffix('.py') }} {{ 'x'.removeprefix('y') }}",
    "{{ 'a'.center(5) }}| {{ 'ab'.center(5, '*') }}| {{ 'a'.ljust(3) }}| {{ 'a'.rjust(3, '.') }}| {{ '42'.zfill(5) }} {{ '-42'.zfill(5) }} {{ 'abc'.center(4) }}| {{ 'é'.center(4, 'ü') }}|", "{{ 'a'.center(5, 'xx') }}",
    "{{ '{} {}'.format('a', 1) }} {{ '{1} {0}'.format('a', 'b') }} {{ '{x}'.format(x=2) }} {{ '{{}}'.format() }} {{ '{:>5}|{:<5}|{:^5}|'.format('a', 'b', 'c') }} {{ '{:.2f}'.format(3.14159) }} {{ '{:05d}'.format(42) }} {{ '{:,}'.format(1234567) }} {{ '{!r}'.format('a') }} {{ '{0[a]} {0[b][1]}'.format({'a': 1, 'b': [2, 3]}) }} {{ '{:x}'.format(255) }} {{ '{:+d}'.format(5) }} {{ '{:%}'.format(0.25) }} {{ '{:*^9}'.format('mid') }} {{ '{:.3}'.format('abcdef') }}",
    "{{ '{}'.format() }}", "{{ '{'.format(1) }}", "{{ '}'.format(1) }}", "{{ '{x}'.format(y=1) }}", "{{ '{:d}'.format(1.5) }}",
    "{{ 'abc'.nothing }}|{{ 'abc'.nothing() }}", "{{ 'a'.upper(1) }}", "{{ 'x' in 'xyz'.split('y') }}", "{{ ('a' ~ 'b').upper() }} {{ 'a'.upper().lower() }}",
]

CONTAINERS = [
    "{{ {'a': 1, 'b': 2}.items()|list }} {{ {'a': 1}.keys()|list }} {{ {'a': 1}.values()|list }} {{ {'a': 1}.get('a') }} {{ {'a': 1}.get('x') }} {{ {'a': 1}.get('x', 5) }} {{ {'a': 1}.get('x', none) }} {{ {'a': 1}.copy() }}",
    "{{ [1, 2, 1].count(1) }} {{ [1, 2].index(2) }} {{ (1, 2).index(2) }} {{ [1, 2].copy() }}", "{{ [1].index(5) }}", "{{ [3,1].sort() }}", "{{ dict(a=1, b=2) }} {{ dict({'x': 1}, y=2) }} {{ dict([('a', 1)]) }} {{ dict() }}", "{{ {}.get() }}", "{{ {}.items(1) }}",
    "{% for k, v in {'a': 1, 'b': 2}.items() %}{{ k }}={{ v }};{% endfor %}", "{{ {'a': 1}.items()|length }} {{ {'a': 1}.keys()[0] }}|", "{{ 'a' in {'a': 1}.keys() }} {{ 1 in {'a': 1}.values() }} {{ ('a', 1) in {'a': 1}.items() }}",
]

TESTS = sum((each("{{ @ is " + test + " }}", VALUES) for test in
             "defined undefined none string number mapping iterable sequence boolean integer float true false callable lower upper escaped".split()), []) + [
    "{{ 1 is odd }} {{ 2 is even }} {{ 3 is divisibleby 3 }} {{ -1 is odd }} {{ 1 is eq 1 }}", "{{ 1 is equalto(1.0) }} {{ 1 is ne 2 }} {{ 1 is lt 2 }} {{ 1 is le(1) }} {{ 2 is gt 1 }} {{ 2 is ge 2 }} {{ 2 is greaterthan 1 }} {{ 1 is lessthan 2 }}",
    "{{ 1 is in [1] }} {{ 'a' is in 'abc' }} {{ 1 is not in [1] }} {{ none is sameas none }} {{ 1 is sameas true }} {{ 'upper' is filter }} {{ 'nope' is filter }} {{ 'odd' is test }}",
    "{{ range(3) is iterable }} {{ range(3) is sequence }} {{ range is callable }} {{ {}.items() is sequence }} {{ [1]|map('string') is iterable }} {{ 'ABC' is upper }} {{ 'aB' is lower }} {{ '' is upper }}",
    "{{ 'a' is odd }}", "{{ 1 is nosuchtest }}", "{{ 1 is string is string }}", "{{ missing is odd }}", "{% if 1 is defined and 2 is defined %}y{% endif %}", "{{ 1 is not defined or true }}", "{{ [1,2] is defined }} {{ 1 is number }}{{ (1) is not none }}", "{{ {'a': 1}.a is defined }} {{ {'a': 1}.b is defined }} {{ {'a': none}.a is none }}", "{{ 5 is divisibleby 0 }}", "{{ 'x' is eq 'x' ~ '' }}",
]

FILTERS = [
    ("{{ text|upper }} {{ text|lower }} {{ 'hello wOrld-foo (bar'|title }} {{ 'hELLO'|capitalize }} {{ none|upper }} {{ 1|upper }} {{ missing|upper }}|", MIXED),
    ("{{ spaces|trim }}| {{ 'xxaxx'|trim('x') }} {{ none|trim }} {{ 5|trim }} {{ missing|trim }}|", MIXED),
    ("{{ list|length }} {{ word|length }} {{ map|count }} {{ missing|length }} {{ uni|length }} {{ range(4)|length }} {{ {}.items()|length }}", MIXED), ("{{ one|length }}", MIXED), ("{{ none|length }}", MIXED), "{{ [1]|map('string')|length }}", "{{ [1]|select|length }}",
    ("{{ list|join }} {{ list|join(', ') }} {{ word|join('-') }} {{ map|join(',') }} {{ missing|join }}| {{ [1, none, true, 1.5, 'x']|join('|') }} {{ []|join(',') }}|", MIXED), (("{{ people|join(', ', attribute='name') }}"), PEOPLE), "{{ none|join }}", "{{ [1,2]|join(0) }}",
    "{{ 'aXbX'|replace('X', '-') }} {{ 'aaa'|replace('a', 'b', 2) }} {{ 123|replace(2, 'x') }} {{ none|replace('o', '0') }}",
    ("{{ missing|default('x') }} {{ none|default('x') }} {{ none|default('x', true) }} {{ ''|d('y', boolean=true) }} {{ 0|d('z') }} {{ missing|d }}| {{ map.q|default(1) }}", MIXED), "{{ missing.x|default('y') }}", "{{ missing|default(missing2) }}|",
    ("{{ list|first }} {{ list|last }} {{ word|first }} {{ word|last }} {{ []|first }}| {{ []|last }}| {{ map|first }} {{ map|last }} {{ uni|last }} {{ range(3)|last }} {{ map.items()|first }}", MIXED), "{{ 1|first }}", "{{ none|last }}", "{{ [1,2]|map('string')|first }}", "{{ [1]|map('string')|last }}",
    ("{{ word|list }} {{ map|list }} {{ range(3)|list }} {{ missing|list }} {{ (1,2)|list }} {{ map.items()|list }}", MIXED), "{{ 1|list }}", "{{ none|list }}",
    ("{{ ['a', 'B']|map('upper')|list }} {{ [1, 2]|map('string')|join('-') }} {{ ['a,b']|map('split', ',')|list }}"), "{{ ['a', 'B']|map('upper')|list }} {{ ['x', 'yy']|map('length')|list }} {{ [1.7]|map('round')|list }} {{ ['a']|map('replace', 'a', 'b')|list }}", ("{{ people|map(attribute='name')|list }} {{ people|map(attribute='tags.0', default='-')|list }} {{ people|map(attribute='on')|list|length }}", PEOPLE), "{{ [1]|map|list }}", "{{ [1]|map('nosuch')|list }}", "{{ none|map('upper')|list }}", "{{ missing|map('upper')|list }}", "{{ [[1,2],[3]]|map('sum')|list }} {{ [[1,2],[3]]|map('first')|list }} {{ [{'a':{'b':1}}]|map(attribute='a.b')|list }}",
    "{{ [0, 1, '', 'a', none]|select|list }} {{ [0, 1, 2]|reject|list }} {{ [1, 2, 3, 4]|select('even')|list }} {{ [1, 2, 3]|reject('gt', 1)|list }} {{ ['a', 'b']|select('in', ['a'])|list }} {{ [1,2,3]|select('divisibleby', 3)|list }} {{ ['a', 1]|select('string')|list }}",
    ("{{ people|selectattr('on')|map(attribute='name')|list }} {{ people|selectattr('age', 'equalto', 31)|map(attribute='name')|list }} {{ people|rejectattr('age', 'gt', 30)|map(attribute='name')|list }} {{ people|selectattr('tags', 'defined')|list|length }} {{ people|rejectattr('on')|list|length }} {{ people|selectattr('name', 'in', ['bob'])|first }}", PEOPLE), "{{ [1]|selectattr|list }}", "{% if [1]|select('gt', 5) %}always{% endif %}", "{{ none|select|list }}", "{{ 1|select|list }}",
    "{% for k, v in {'b': 1, 'a': 2}|items %}{{ k }}{{ v }}{% endfor %} {{ missing|items|list }}", "{{ [1]|items|list }}",
    ("{{ map|dictsort }} {{ map|dictsort(true) }} {{ map|dictsort(false, 'value') }} {{ map|dictsort(reverse=true) }} {{ map|dictsort(by='value', reverse=true) }}", MIXED), "{{ {'a': 1}|dictsort(by='x') }}", "{{ [1]|dictsort }}", "{{ {1: 2, 'a': 3}|dictsort }}",
    "{{ [3, 1, 2]|sort }} {{ ['b', 'A', 'c']|sort }} {{ ['b', 'A', 'c']|sort(case_sensitive=true) }} {{ [3, 1, 2]|sort(true) }} {{ 'hello'|sort }} {{ [(2, 'a'), (1, 'b')]|sort }} {{ [true, 0, 2]|sort }}", ("{{ people|sort(attribute='age')|map(attribute='name')|list }} {{ people|sort(attribute='age,name')|map(attribute='name')|list }} {{ people|sort(reverse=true, attribute='age')|map(attribute='name')|list }}", PEOPLE), "{{ [1, 'a']|sort }}", "{{ [none, 1]|sort }}",
    "{{ [1, 2, 1, 3]|unique|list }} {{ ['a', 'A', 'b']|unique|list }} {{ ['a', 'A']|unique(true)|list }} {{ [1, 1.0, true]|unique|list }}", ("{{ people|unique(attribute='age')|map(attribute='name')|list }}", PEOPLE),
    ("{{ list|reverse|list }} {{ word|reverse }} {{ uni|reverse }} {{ (1,2)|reverse|list }} {{ map|reverse|list }} {{ range(3)|reverse|list }}", MIXED), "{{ 1|reverse }}",
    "{{ 1|string }} {{ none|string }} {{ [1]|string }} {{ 'a'|string }} {{ 1.0|string }} {{ true|string ~ 'x' }} {{ missing|string }}|",
    "{{ '42'|int }} {{ ' 42 '|int }} {{ '4.7'|int }} {{ 'x'|int }} {{ 'x'|int(5) }} {{ 4.9|int }} {{ -4.9|int }} {{ none|int }} {{ true|int }} {{ '0x1F'|int(base=16) }} {{ 'ff'|int(0, 16) }} {{ '1_000'|int }} {{ ''|int }} {{ '1e3'|int }} {{ '+5'|int }} {{ '101'|int(base=2) }} {{ [1]|int }} {{ 'inf'|int }}",
    "{{ '4.5'|float }} {{ 'x'|float }} {{ 'x'|float(1.5) }} {{ 3|float }} {{ none|float }} {{ '1e3'|float }} {{ '.5'|float }} {{ '5.'|float }} {{ 'inf'|float }} {{ 'nan'|float }} {{ '-Infinity'|float }} {{ ' 1.5 '|float }} {{ '1_0.5'|float }} {{ '1e400'|float }}",
    "{{ -5|abs }} {{ 5.5|abs }} {{ true|abs }}", "{{ 'a'|abs }}", "{{ 42.55|round }} {{ 42.55|round(1) }} {{ 42.55|round(1, 'floor') }} {{ 42.45|round(1, 'ceil') }} {{ 42|round }} {{ 2.5|round }} {{ 3.5|round }} {{ 0.5|round }} {{ 1234.5|round(-2) }} {{ 1250|round(-2) }} {{ 42.5|round|int }} {{ 42|round(0, 'floor') }} {{ 1.005|round(2) }} {{ 2.675|round(2) }}", "{{ 1|round(1, 'x') }}", "{{ 'a'|round }}",
    "{{ [1, 2, 3]|sum }} {{ [1.5, 2]|sum }} {{ []|sum }} {{ [[1], [2]]|sum(start=[]) }} {{ [1]|sum(start=10) }}", ("{{ people|sum(attribute='age') }} {{ people|sum('age', 100) }}", PEOPLE), "{{ ['a']|sum }}", "{{ ['a']|sum(start='') }}", "{{ [3, 1, 2]|min }} {{ [3, 1, 2]|max }} {{ ['b', 'A']|min }} {{ ['b', 'A']|max }} {{ ['b', 'A']|min(true) }} {{ []|min }}| {{ 'hello'|max }}", ("{{ (people|max(attribute='age')).name }} {{ (people|min(attribute='age')).name }}", PEOPLE),
    ("{{ lines|indent }}|\n{{ lines|indent(2, true) }}|\n{{ lines|indent(2, blank=true) }}|\n{{ lines|indent('>> ') }}|\n{{ 'a'|indent(2, first=true) }}|{{ ''|indent }}|{{ 'a\\n'|indent(1) }}|", MIXED), "{{ 1|indent }}", "{{ missing|indent }}",
    ("{{ html|e }} {{ html|escape }} {{ html|safe }} {{ html|e|e }} {{ html|forceescape }} {{ html|safe|e }} {{ html|e|forceescape }} {{ 1|e }} {{ none|safe }}", MIXED), "{{ '<b>' + ('<i>'|safe) }} {{ ('<i>'|safe) + '<b>' }} {{ '<b>' ~ ('<i>'|safe) }} {{ ('<i>'|safe)|upper }} {{ ('<i>'|safe) is escaped }} {{ ['<i>'|safe]|join('<') }}",
    "{{ [1,2,3,4,5]|batch(2)|list }} {{ [1,2,3,4,5]|batch(2, 0)|list }} {{ []|batch(3)|list }} {{ [1,2,3,4,5]|slice(2)|list }} {{ [1,2,3,4,5]|slice(3, 'x')|list }} {{ [1]|slice(3)|list }}", "{{ 'foo bar baz, qux_1 é'|wordcount }} {{ ''|wordcount }}", "{{ '%s-%d'|format('a', 3) }} {{ '%(x)s'|format(x=1) }}", "{{ 'a'|center(5) }}| {{ 'ab'|center(5) }}|",
    "{{ 'hello world foo'|truncate(11) }} {{ 'hello world foo'|truncate(9, false, '...', 0) }} {{ 'hello world foo'|truncate(9, true, '...', 0) }} {{ 'hello world foo'|truncate(9, leeway=0, end='') }} {{ 'hello'|truncate(3) }}", "{{ 'hello'|truncate(2, leeway=0) }}",
    "{{ 'a b/c?d=é&~'|urlencode }} {{ {'a b': 'c/d', 'e': 1}|urlencode }}", ("{% for g in people|groupby('city') %}{{ g.grouper }}:{{ g.list|map(attribute='name')|join(',') }} {% endfor %}{% for k, v in people|groupby('age') %}{{ k }}={{ v|length }};{% endfor %}{{ (people|groupby('age'))[0].grouper }}", PEOPLE), ("{% for g in people|groupby('on', default=false) %}{{ g.grouper }}:{{ g.list|length }} {% endfor %}", PEOPLE),
    "{{ {'a': 1}|attr('a') }}| {{ 'x'|attr('upper') is callable }}", "{{ 'a'|nosuchfilter }}", "{{ 'a'|upper(1) }}", "{{ 'a'|upper(x=1) }}", "{{ 'a'|replace('a') }}", "{{ 1|default(1, 2, 3, 4) }}", "{{ 'a b'|upper|lower|title|replace(' ', '_')|length }}", "{{ ('a', 'b')|join|upper }}", "{{ 'a'|upper ~ 'b'|upper }} {{ 1 + 2|abs }} {{ not 'a'|upper }} {{ 'x' if 'a'|upper == 'A' }}",
]

JSON = each("{{ @|tojson }}", "none yes no one zero pi ten word empty list nested map text uni spaces lines html neg big") + [
    ("{{ nested|tojson(indent=2) }}", MIXED), ("{{ map|tojson(indent=4) }}", MIXED), ("{{ map|tojson(sort_keys=true) }}", MIXED), ("{{ uni|tojson(ensure_ascii=true) }}", MIXED), ("{{ map|tojson(separators=(',', ':')) }}", MIXED), ("{{ nested|tojson(indent=1, separators=('; ', '=')) }}", MIXED), ("{{ nested|tojson(indent='\t') }}", MIXED), ("{{ nested|tojson(indent=0) }}", MIXED), ("{{ nested|tojson(none) }}", MIXED),
    "{{ {'a': [], 'b': {}, 'c': ()}|tojson(indent=2) }} {{ (1, 2)|tojson }} {{ '\\x00\\x1f\\x7f\\u2028\"\\\\/\\b\\f\\n\\r\\t'|tojson }} {{ {1: 2, none: 3, true: 4, 1.5: 5}|tojson }} {{ 1e16|tojson }}", "{{ missing|tojson }}", "{{ range(3)|tojson }}", "{{ {(1, 2): 3}|tojson }}", "{{ {}.items()|tojson }}", "{{ [1]|map('string')|tojson }}", "{{ '😀'|tojson(ensure_ascii=true) }} {{ 'inf'|float|tojson }} {{ '-inf'|float|tojson }} {{ 'nan'|float|tojson }}", "{{ namespace(a=1)|tojson }}", "{{ ('<'|safe)|tojson }} {{ '<>&'|tojson }}",
]

STATEMENTS = [
    "{% if 1 %}a{% elif 2 %}b{% else %}c{% endif %}{% if 0 %}a{% elif 2 %}b{% else %}c{% endif %}{% if 0 %}a{% elif 0 %}b{% else %}c{% endif %}{% if 0 %}x{% endif %}", "{% if 1, %}t{% endif %}", "{% if (1 if 0 else 0) %}a{% else %}b{% endif %}",
    "{% for i in [1, 2, 3] %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }}{{ loop.length }}{{ loop.depth }}{{ loop.depth0 }};{% endfor %}",
    "{% for i in [1, 2, 3] %}{{ loop.previtem }}<{{ i }}>{{ loop.nextitem }} {% endfor %}", "{% for i in [1, 2, 3] %}{{ loop.previtem is defined }}{{ loop.nextitem is defined }} {% endfor %}", "{% for i in 'abcd' %}{{ loop.cycle('x', 'y', 'z') }}{% endfor %}", "{% for i in [1,1,2,2,1] %}{{ loop.changed(i) }} {% endfor %}", "{% for i in [] %}x{% else %}empty{% endfor %}{% for i in [1] %}x{% else %}empty{% endfor %}",
    "{% for i in range(10) if i is even %}{{ i }}{{ loop.index }}{{ loop.last }} {% endfor %}", "{% for i in [1,2] if i > 5 %}x{% else %}none{% endfor %}", "{% for a, b in [(1, 2), (3, 4)] %}{{ a }}{{ b }}{% endfor %}", "{% for a, (b, c) in [(1, (2, 3))] %}{{ a }}{{ b }}{{ c }}{% endfor %}", "{% for (a, b) in [(1, 2)] %}{{ a }}{{ b }}{% endfor %}", "{% for a, b in [(1,)] %}{% endfor %}", "{% for a, b in [(1, 2, 3)] %}{% endfor %}", "{% for a in 5 %}{% endfor %}", "{% for a in none %}{% endfor %}", "{% for a in missing %}x{% else %}e{% endfor %}", "{% for c in 'aé世' %}{{ c }},{% endfor %}", "{% for k in {'a': 1, 'b': 2} %}{{ k }}{% endfor %}", "{% for a in 1, 2, 3 %}{{ a }}{% endfor %}",
    "{% for i in [1,2,3,4,5] %}{% if i == 2 %}{% continue %}{% endif %}{% if i == 4 %}{% break %}{% endif %}{{ i }}{% endfor %}", "{% for i in [1,2] %}{% for j in [1,2] %}{% if j == 2 %}{% break %}{% endif %}{{ i }}{{ j }} {% endfor %}{{ loop.index }}{% endfor %}", "{% for i in [1] %}{% break %}{% else %}e{% endfor %}", "{% for i in [1] %}{% continue %}{% else %}e{% endfor %}", "{% for i in [1,2] %}{% if loop.last %}{% break %}{% endif %}{% else %}e{% endfor %}", "{#", "x{#", "{% raw %}x", "{% break %}", "{% if 1 %}{% continue %}{% endif %}",
    "{% set x = 1 %}{% for i in [1, 2] %}{% set x = x + i %}{{ x }}{% endfor %}{{ x }}", "{% for i in [1, 2, 3] %}{{ x }}{% set x = i %}{{ x }},{% endfor %}{{ x }}", "{% set ns = namespace(x=0) %}{% for i in [1, 2, 3] %}{% set ns.x = ns.x + i %}{% endfor %}{{ ns.x }}", "{% for i in [1] %}{% if true %}{% set x = 5 %}{% endif %}{{ x }}{% endfor %}|{{ x }}", "{% if true %}{% set x = 5 %}{% endif %}{{ x }}", "{% if false %}{% set x = 5 %}{% endif %}{{ x }}|", "{% for i in [1,2] %}{% endfor %}{{ i }}|{{ loop }}|",
    "{% set a, b = 1, 2 %}{{ a }}{{ b }}", "{% set a, b = [1] %}", "{% set (a, b) = (1, 2) %}{{ a ~ b }}", "{% set a = 1, 2 %}{{ a }}", "{% set x %}a{{ 1 + 1 }}b{% endset %}{{ x }}{{ x|length }}", "{% set x | upper %}abc{% endset %}{{ x }}", "{% set x | replace('a', 'b') | upper %}abc{% endset %}{{ x }}", "{% set x %}{% set y = 1 %}{{ y }}{% endset %}{{ x }}{{ y }}|",
    "{% set ns = namespace() %}{% set ns.a = 1 %}{{ ns.a }}{{ ns.b }}|{{ ns['a'] }}", "{% set ns = namespace({'a': 1}, b=2) %}{{ ns.a }}{{ ns.b }}", "{% set x = {} %}{% set x.a = 1 %}", "{% set nope.a = 1 %}", "{% set ns = namespace(a=1) %}{% set ns.a, y = 5, 6 %}{{ ns.a }}{{ y }}", "{% set ns = namespace(l=[]) %}{% for i in range(3) %}{% set ns.l = ns.l + [i * i] %}{% endfor %}{{ ns.l }}", "{% set ns = namespace(a=1) %}{% set ns.a %}block{% endset %}{{ ns.a }}", "{{ namespace(a=1) is mapping }} {{ namespace(a=1).a }} {{ namespace() is defined }}",
    "{% macro f(a, b=2) %}[{{ a }}|{{ b }}]{% endmacro %}{{ f(1) }}{{ f(1, 3) }}{{ f(b=5, a=4) }}{{ f() }}", "{% macro f(a, b=a) %}{{ a }}{{ b }}{% endmacro %}{{ f(1) }}", "{% macro f() %}{{ varargs }}{{ kwargs }}{% endmacro %}{{ f(1, 2, x=3) }}", "{% macro f(a) %}{{ a }}{% endmacro %}{{ f(1, 2) }}", "{% macro f(a) %}{{ a }}{% endmacro %}{{ f(b=1) }}", "{% macro f(a) %}{{ a is defined }}{{ a }}{% endmacro %}{{ f() }}", "{% macro f(n) %}{{ n }}{% if n > 0 %}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(5) }}", "{% macro f() %}\n  x\n{% endmacro %}[{{ f() }}][{{ f()|trim }}]", "{% set y = 1 %}{% macro f() %}{{ y }}{% endmacro %}{% set y = 2 %}{{ f() }}", "{% macro f() %}{{ later }}{% endmacro %}{% set later = 3 %}{{ f() }}", "{{ f() }}{% macro f() %}x{% endmacro %}", "{% for i in [1, 2] %}{% macro f() %}{{ i }}{% endmacro %}{{ f() }}{% endfor %}", "{% macro f(x) %}{% set x = x ~ '!' %}{{ x }}{% endmacro %}{{ f('a') }}{{ x }}|", "{% macro f() %}{{ caller() }}{% endmacro %}{% call f() %}body{% endcall %}", "{% macro f() %}<{{ caller(1, 2) }}>{% endmacro %}{% call(a, b=3) f() %}{{ a }}{{ b }}{% endcall %}", "{% macro f() %}x{% endmacro %}{% call f() %}y{% endcall %}", "{% macro f(a) %}{{ caller() if caller else 'none' }}{% endmacro %}{{ f(1) }}", "{% macro f(a=1, b) %}{% endmacro %}", "{% macro f(a, b=1) %}{% endmacro %}{{ f.name }}", "{% macro a() %}{{ b() }}{% endmacro %}{% macro b() %}B{% endmacro %}{{ a() }}", "{% macro f(x, y='d') %}{{ x }}{{ y }}{% endmacro %}{{ f(*[1, 2]) }}{{ f(**{'x': 3}) }}{{ f(1, *[2]) }}{{ f(*[1], **{'y': 4}) }}", "{% set m = {} %}{% macro f() %}m{% endmacro %}{% set d = {'f': f} %}{{ d.f() }}{{ d['f']() }}", "{% call 1 %}{% endcall %}", "{% macro f(a) %}{% if a %}yes{% else %}no{% endif %}{% endmacro %}{{ [1, 0]|map('string')|join }}{{ f([]) }}",
    "{% with %}{% set x = 1 %}{{ x }}{% endwith %}{{ x }}|", "{% with a = 1, b = 2 %}{{ a }}{{ b }}{% endwith %}{{ a }}|", "{% set a = 5 %}{% with a = 1, b = a %}{{ a }}{{ b }}{% endwith %}", "{% filter upper %}abc{{ 'd' }}{% endfilter %}", "{% filter replace('a', 'b')|upper %}aac{% endfilter %}", "{% filter upper %}{% set x = 1 %}{{ x }}a{% endfilter %}{{ x }}|", "{% for i in [1,2] %}{% filter upper %}a{{ i }}{% endfilter %}{% endfor %}",
    "{% generation %}a{{ 1 }}{% endgeneration %}", "x\n{% generation %}\n  y\n{% endgeneration %}\nz", "{% set x = 1 %}{% generation %}{% set x = 2 %}{{ x }}{% endgeneration %}{{ x }}", "{% print 1 + 1 %}{% print 'a', 'b' %}",
    "{% for item in [{'n': 1, 'c': [{'n': 2, 'c': []}, {'n': 3, 'c': [{'n': 4, 'c': []}]}]}] recursive %}{{ item.n }}({{ loop.depth }}){% if item.c %}[{{ loop(item.c) }}]{% endif %}{% endfor %}", "{% for i in [1] %}{{ loop([2]) }}{% endfor %}", "{% for i in [[1, 2], [3]] recursive %}{% if i is iterable %}{{ loop(i) }};{% else %}{{ i }}{% endif %}{% endfor %}", "{% for i in range(3) %}{% set outer = loop %}{% for j in range(2) %}{{ outer.index }}{{ loop.index }} {% endfor %}{% endfor %}", "{% for i in [1,2,3] %}{% if loop.last %}L{% elif loop.first %}F{% else %}M{% endif %}{% endfor %}",
    "{% set ns = namespace(go=true) %}{% for i in range(5) if ns.go %}{{ i }}{% if i == 2 %}{% set ns.go = false %}{% endif %}{% endfor %}", "{% set x = [] %}{% for i in [3, 1, 2]|sort %}{{ i }}{% endfor %}", "{% set it = [1, 2, 3]|map('string') %}{% for i in it %}{{ i }}{% endfor %}|{% for i in it %}{{ i }}{% endfor %}|{{ it|list }}", "{% set d = {'a': 1} %}{% set d = dict(d, b=2) %}{{ d }}", "{% set j = joiner('; ') %}{{ j() }}a{{ j() }}b{{ j() }}c",
    "{{ raise_exception('my message') }}", "{% if true %}{{ raise_exception('two\nlines') }}{% endif %}", "{{ strftime_now('%Y-%m-%d') }} {{ strftime_now('%d %b %Y') }} {{ strftime_now('%H:%M:%S %A %B %j %%') }} {{ strftime_now('%-d %y %I %p') }}|{{ strftime_now('') }}|", "{{ range(0, 10, 3)|list }} {{ range(5, 0, -2)|list }} {{ range(-3)|list }}", "{{ range(1, 2, 0) }}", "{{ range('a') }}", "{{ range() }}", "{{ range(1000000) }}", "{{ messages }} {{ tools }} {{ add_generation_prompt }} {{ bos_token }}|", "{{ tools is none }} {{ tools is defined }} {{ documents is none }} {{ tools|length if tools else 0 }}",
    "{% set x = 'a' if true %}{{ x }}", "{% set messages = [1] %}{{ messages }}", "{% set loop_messages = [1,2,3][1:] %}{% for m in loop_messages %}{{ m }}{% endfor %}", "{% for m in [1,2,3][::-1] %}{{ loop.index0 }}{{ m }}{% endfor %}", "{%- set ns = namespace(f=false) -%}{%- for i in range(3) -%}{%- if i == 1 -%}{%- set ns.f = true -%}{%- endif -%}{%- endfor -%}{{ ns.f }}", "{% set a = b = 1 %}",
]

SYNTAX_ERRORS = [
    "{{", "{{ 1", "{% if %}", "{% if 1 %}", "a\nb\n{% endif %}", "{% for %}", "{% for x %}", "{% for x in %}{% endfor %}", "{% for 1 in [1] %}{% endfor %}", "\n\n{{ 1 + }}", "{{ (1 }}", "{{ 1) }}", "{{ [1 }}", "{{ {'a' 1} }}", "{{ 'abc }}", "{{ a b }}", "{{ a. }}", "{{ a..b }}", "{{ a[ }}", "{{ | upper }}", "{{ 1 | }}", "{{ 1 is }}", "{% set %}", "{% set x %}", "{% set 1 = 2 %}", "{% set true = 2 %}", "{% set x = %}", "{% unknown %}", "\n{% if 1 %}\n{% else %}\n{% else %}\n{% endif %}", "{% macro %}{% endmacro %}", "{% macro f %}{% endmacro %}", "{% macro f( %}{% endmacro %}", "{% raw %}", "{# abc", "x\n{% for a in b %}\n{% endif %}", "{{ f(a=1, 2) }}", "{{ f(**a, b) }}", "{{ 1 if }}", "{{ not }}", "{{ ? }}", "{{ 1 & 2 }}", "{{ a ! b }}", "{% %}", "{{ }}", "{% if 1 %}{% for a in b %}{% endif %}{% endfor %}", "{% elif %}", "{{ '\\x4' }}", "{{ $ }}", "{% do x %}", "{{ 1 2 }}", "{{ , }}", "{{ a, b, }}|", "{{ () }}", "{{ [,] }}", "{{ {,} }}", "{{ f(,) }}", "{% set a.b.c = 1 %}", "{% for a.b in c %}{% endfor %}", "{% call %}{% endcall %}", "{% filter %}{% endfilter %}", "{% with a %}{% endwith %}", "{{ a if b else }}", "{% endfor %}", "{% if 1 %}x{% endif 2 %}", "{{ x is not }}",
]

# In the manner of DeepSeek's: how a prompt ends, what becomes of thinking in history, which turns
# begin with a marker. Ours, as small as shows it.
R1 = (
    "{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}{{ '<｜User｜>' + m.content }}"
    "{% elif m.role == 'assistant' %}{{ '<｜Assistant｜>' + m.content.split('</think>')[-1] + "
    "'<｜end▁of▁sentence｜>' }}{% else %}{{ m.content }}{% endif %}{% endfor %}"
    "{{ '<｜Assistant｜><think>\\n' if add_generation_prompt }}"
)
R1_0528 = (
    "{% set ns = namespace(asked=false) %}{{ bos_token }}{% for m in messages %}"
    "{% set content = m['content'] %}{% if m['role'] == 'user' %}{% set ns.asked = true %}"
    "{{ '<｜User｜>' + content + '<｜Assistant｜>' }}{% elif m['role'] == 'assistant' %}"
    "{% set ns.asked = false %}{% if '</think>' in content %}"
    "{% set content = content.split('</think>')[-1] %}{% endif %}"
    "{{ content + '<｜end▁of▁sentence｜>' }}{% else %}{{ content }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt and not ns.asked %}{{ '<｜Assistant｜>' }}{% endif %}"
)
V31 = (
    "{% if thinking is not defined %}{% set thinking = false %}{% endif %}{{ bos_token }}"
    "{% for m in messages %}{% if m.role == 'user' %}{{ '<｜User｜>' + m.content }}"
    "{% elif m.role == 'assistant' %}{{ '<｜Assistant｜></think>' + m.content.split('</think>')[-1] "
    "+ '<｜end▁of▁sentence｜>' }}{% else %}{{ m.content }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<｜Assistant｜>' + ('<think>' if thinking else '</think>') }}"
    "{% endif %}"
)
V2 = (
    "{{ bos_token }}{% for m in messages %}{% if m['role'] == 'user' %}"
    "{{ 'User: ' + m['content'] + '\\n\\n' }}{% elif m['role'] == 'assistant' %}"
    "{{ 'Assistant: ' + m['content'] + eos_token }}{% else %}{{ m['content'] + '\\n\\n' }}{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}"
)
V25 = (
    "{{ bos_token }}{% for m in messages %}{% if m['role'] == 'system' %}{{ m['content'] }}"
    "{% elif m['role'] == 'user' %}{{ '<｜User｜>' + m['content'] }}{% else %}"
    "{{ '<｜Assistant｜>' + m['content'] + '<｜end▁of▁sentence｜>' }}{% endif %}{% endfor %}"
    "{{ '<｜Assistant｜>' if add_generation_prompt }}"
)
TALK = {
    "bos_token": "<｜begin▁of▁sentence｜>",
    "eos_token": "<｜end▁of▁sentence｜>",
    "messages": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "One?"},
        {"role": "assistant", "content": "<think>\nHm.\n</think>\n\nOne."},
        {"role": "user", "content": "Two?"},
    ],
}
DEEPSEEK = [
    (source, {**TALK, **more})
    for source in (R1, R1_0528, V31, V2, V25)
    for more in ({}, {"thinking": True}, {"thinking": False}, {"add_generation_prompt": False})
]

SNIPPETS = [case for group in (WHITESPACE, PRINTING, OPERATORS, ACCESS, STRINGS, CONTAINERS, TESTS,
                               FILTERS, JSON, STATEMENTS, SYNTAX_ERRORS, DEEPSEEK)
            for case in group if case]
