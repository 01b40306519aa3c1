"""Times attribution peers on the path files that the bench wrote: attribution.py SMALL.csv LARGE.csv

Each peer is called in this process on a table that is already read, as its users do; best of three rounds. A peer that is
not installed or fails says so and does not stop the others.
"""

import sys
import time

import pandas


def best(work, rounds=3):
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


def say(what, rows, seconds):
    print(f"{what:<52} {seconds * 1e3:>10.2f} ms {rows / seconds:>14.0f} rows/s", flush=True)


def channel_attribution(table, large):
    import ChannelAttribution as peer

    names = dict(var_path="path", var_conv="total_conversions", var_value="total_conversion_value")
    for data in (table, large):
        say("ChannelAttribution first, last, linear", len(data), best(lambda: peer.heuristic_models(data, **names)))
    for order in (1, 2, 3, 4):
        run = lambda: peer.markov_model(  # noqa: E731
            table, var_null="total_null", order=order, verbose=False, seed=0, **names
        )
        say(f"ChannelAttribution Markov {order}, simulated to 5 %", len(table), best(run))


def marketing_attribution_models(table, _large):
    from mam import MAM

    # One row for the journeys that converted and one for those that did not, as this peer wants them.
    kinds = (("total_conversions", True), ("total_null", False))
    parts = []
    for count, converted in kinds:
        part = table[table[count] > 0]
        value = part["total_conversion_value"] if converted else 0.0
        parts.append(pandas.DataFrame({"path": part["path"], "times": part[count], "converted": converted, "value": value}))
    grouped = pandas.concat(parts, ignore_index=True)

    def load():
        return MAM(
            grouped,
            format_type="grouped_journey",
            channels_colname="path",
            journey_with_conv_colname="converted",
            occurrences_colname="times",
            conversion_value_colname="value",
        )

    say("MAM load", len(grouped), best(load))
    model = load()
    for name in ("first_click", "last_click", "linear", "position_based", "markov", "shapley"):
        say(f"MAM {name} (after loading)", len(grouped), best(getattr(model, f"run_{name}")))


def main():
    table, large = pandas.read_csv(sys.argv[1]), pandas.read_csv(sys.argv[2])
    for peer in (channel_attribution, marketing_attribution_models):
        try:
            peer(table, large)
        except Exception as error:  # A peer's failure is a finding, not the end of the run.
            print(f"{peer.__name__}: {type(error).__name__}: {error}", flush=True)


main()
