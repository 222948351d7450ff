"""The layers of the pictures: what holds of every graph, and of some that are known."""

import time
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from scanner.reports.layout import GAP_Y, layout

SIZE = (60.0, 30.0)


@st.composite
def graphs(draw):
    count = draw(st.integers(1, 12))
    nodes = [f"n{i}" for i in range(count)]
    sizes = {one: (draw(st.sampled_from((40.0, 120.0))), draw(st.sampled_from((28.0, 60.0)))) for one in nodes}
    ends = st.sampled_from(nodes)
    edges = draw(st.lists(st.tuples(ends, ends), max_size=25, unique=True))
    last = draw(st.lists(st.sampled_from(nodes[1:]), max_size=4, unique=True)) if count > 1 else []
    return sizes, edges, last


@given(graphs())
@settings(deadline=None)
def test_no_two_boxes_touch_and_the_same_graph_is_the_same_picture(graph):
    sizes, edges, last = graph
    made = layout(sizes, edges, "n0", last)

    assert made == layout(sizes, edges, "n0", last)
    assert made.places.keys() == sizes.keys()
    boxes = [(x, y, *sizes[one]) for one, (x, y) in made.places.items()]
    for i, (x, y, wide, high) in enumerate(boxes):
        assert 0 <= round(x - wide / 2, 1) <= made.width
        assert -0.1 <= y - high / 2 <= y + high / 2 <= made.height + 0.1
        for other_x, other_y, other_wide, other_high in boxes[i + 1 :]:
            apart_x = abs(x - other_x) >= (wide + other_wide) / 2
            apart_y = abs(y - other_y) >= (high + other_high) / 2 + GAP_Y - 0.3
            assert apart_x or apart_y


@given(graphs())
@settings(deadline=None)
def test_no_bend_lies_in_a_box(graph):
    sizes, edges, last = graph
    made = layout(sizes, edges, "n0", last)

    assert len(made.bends) == len(edges)
    for (source, target), bends in zip(edges, made.bends, strict=True):
        xs = [x for x, _ in bends]
        assert xs == sorted(xs, reverse=made.places[target][0] < made.places[source][0])
        for (x1, y1), (x2, y2) in zip(bends[::2], bends[1::2], strict=True):
            assert y1 == y2
            for one, (x, y) in made.places.items():
                wide, high = sizes[one]
                inside = x - wide / 2 < max(x1, x2) and x + wide / 2 > min(x1, x2) and abs(y1 - y) < high / 2
                assert not inside


def test_a_way_goes_from_left_to_right():
    chain = [f"n{i}" for i in range(6)]
    made = layout(dict.fromkeys(chain, SIZE), list(pairwise(chain)), "n0")

    xs = [made.places[one][0] for one in chain]
    assert xs == sorted(set(xs))
    assert len({made.places[one][1] for one in chain}) == 1


def test_the_longest_way_decides_and_the_last_are_last():
    edges = [("n0", "n1"), ("n1", "n2"), ("n0", "n2"), ("n0", "n3")]
    made = layout(dict.fromkeys(("n0", "n1", "n2", "n3"), SIZE), edges, "n0", ["n3"])

    x = {one: place[0] for one, place in made.places.items()}
    assert x["n0"] < x["n1"] < x["n2"] < x["n3"]
    assert [len(bends) for bends in made.bends] == [0, 0, 2, 4]


def test_a_circle_has_an_end():
    edges = [("n0", "n1"), ("n1", "n2"), ("n2", "n1"), ("n2", "n2"), ("n2", "n0")]
    made = layout(dict.fromkeys(("n0", "n1", "n2"), SIZE), edges, "n0")

    assert made.places["n0"][0] < made.places["n1"][0] < made.places["n2"][0]


def test_edges_that_need_not_cross_do_not():
    edges = [("n0", "n1"), ("n0", "n2"), ("n1", "n4"), ("n2", "n3")]
    made = layout(dict.fromkeys(("n0", "n1", "n2", "n3", "n4"), SIZE), edges, "n0")

    y = {one: place[1] for one, place in made.places.items()}
    assert (y["n1"] < y["n2"]) is (y["n4"] < y["n3"])


def test_a_large_graph_is_laid_out_in_a_moment():
    nodes = [f"n{i}" for i in range(120)]
    edges = [(nodes[i * 7 % 120], nodes[(i * 13 + 1) % 120]) for i in range(300)]
    chain = list(pairwise(nodes))
    begin = time.process_time()
    layout(dict.fromkeys(nodes, SIZE), [*chain, *edges], "n0", nodes[-7:])
    assert time.process_time() - begin < 5
