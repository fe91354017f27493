from deploy.container.prepare_database import passwords


def test_each_variable_names_its_role():
    environment = {
        "EXECUTION_DATABASE_PASSWORD": "one",
        "FEED_COLLECTOR_DATABASE_PASSWORD": "two",
        "DASHBOARD_DATABASE_PASSWORD": "",
        "POSTGRES_PASSWORD": "three",
    }
    assert passwords(environment) == {"onebook_execution": "one", "onebook_feed_collector": "two"}
