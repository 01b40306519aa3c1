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
    import marketing_attribution_models as peer

    print(f"marketing-attribution-models: {[name for name in dir(peer) if name[0].isupper()]}", flush=True)
    journeys = []
    for at, row in enumerate(table.itertuples(index=False)):
        steps = row.path.split(" > ")
        journeys.append((at, " > ".join(steps), row.total_conversions > 0, row.total_conversion_value))
    grouped = pandas.DataFrame(journeys, columns=["journey_id", "channels", "converted", "value"])
    model = peer.MAM(
        grouped,
        group_channels=False,
        channels_colname="channels",
        journey_with_conv_colname="converted",
        conversion_value="value",
        path_separator=" > ",
    )
    for name in ("attribution_first_click", "attribution_last_click", "attribution_all", "attribution_position_based"):
        if hasattr(model, name):
            say(f"MAM {name}", len(table), best(getattr(model, name), 1))
    if hasattr(model, "attribution_markov"):
        say("MAM attribution_markov (order 1)", len(table), best(model.attribution_markov, 1))


def main():
    table, large = pandas.read_csv(sys.argv[1]), pandas.read_csv(sys.argv[2])
    for peer in (channel_attribution, marketing_attribution_models):
        try:
            peer(table, large)
        except Exception as error:  # A peer's failure is a finding, not the end of the run.
            print(f"{peer.__name__}: {type(error).__name__}: {error}", flush=True)


main()
