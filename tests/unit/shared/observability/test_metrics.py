from prometheus_client.parser import text_string_to_metric_families

from shared.observability.metrics import UP, render_metrics


def test_what_is_rendered_is_what_prometheus_reads():
    UP.labels("probe").set(1)
    content_type, text = render_metrics()
    families = {family.name: family for family in text_string_to_metric_families(text.decode())}
    assert content_type.startswith("text/plain")
    assert [
        sample.value
        for sample in families["onebook_service_up"].samples
        if sample.labels["service"] == "probe"
    ] == [1]
