//! What `charts/tessera` says is what the server reads.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::{Map, Value, json};
use tessera_kubernetes::config::KubernetesConfig;

use super::Config;
use super::tests::parsed;

/// What the chart says itself, whatever is given.
const THE_CHARTS_OWN: [&str; 2] = ["server.listen", "server.data_dir"];

fn chart(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("charts/tessera").join(name)).unwrap()
}

fn values() -> Value {
    serde_saphyr::from_str(&chart("values.yaml")).unwrap()
}

fn written() -> Map<String, Value> {
    values()["config"].as_object().unwrap().clone()
}

/// Every setting's key, as `section.key`; what is empty is a setting itself.
fn keys(above: &str, value: &Value) -> BTreeSet<String> {
    let Some(table) = value.as_object().filter(|table| !table.is_empty()) else { return [above.to_owned()].into() };
    let below = |(name, value): (&String, &Value)| {
        keys(&if above.is_empty() { name.clone() } else { format!("{above}.{name}") }, value)
    };
    table.iter().flat_map(below).collect()
}

/// As TOML has it: without what is not said.
fn toml(value: &Value) -> Option<toml::Value> {
    Some(match value {
        Value::Null => return None,
        Value::Object(table) => {
            toml::Value::Table(table.iter().filter_map(|(key, value)| Some((key.clone(), toml(value)?))).collect())
        }
        Value::Array(list) => toml::Value::Array(list.iter().filter_map(toml).collect()),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => toml::Value::try_from(value).unwrap(),
    })
}

#[test]
fn the_values_are_all_settings_with_their_defaults() {
    let mut values = written();
    values.remove("backends").unwrap();
    let mut all = serde_json::to_value(Config::default()).unwrap();
    all.as_object_mut().unwrap().remove("backends").unwrap();
    let mut wanted = keys("", &all);
    for own in THE_CHARTS_OWN {
        assert!(wanted.remove(own), "{own} is no setting any more");
    }
    assert_eq!(keys("", &Value::Object(values.clone())), wanted);
    let text = toml::to_string(&toml(&Value::Object(values)).unwrap()).unwrap();
    assert_eq!(parsed(&text).unwrap_or_else(|problems| panic!("{problems}")), Config::default());
}

#[test]
fn the_backend_of_the_values_has_all_settings_with_their_defaults() {
    let mut values = written()["backends"]["kubernetes"].as_object().unwrap().clone();
    assert_eq!(values.remove("kind"), Some(json!("kubernetes")));
    let values = Value::Object(values);
    let all = serde_json::to_value(KubernetesConfig::default()).unwrap();
    assert_eq!(keys("", &values), keys("", &all));
    assert_eq!(serde_json::from_value::<KubernetesConfig>(values).unwrap(), KubernetesConfig::default());
}

#[test]
fn the_schema_knows_every_value_and_no_other() {
    fn same(at: &str, values: &Value, schema: &Value) {
        let (Some(table), Some(properties)) = (values.as_object(), schema["properties"].as_object()) else { return };
        let given: BTreeSet<_> = table.keys().collect();
        let known: BTreeSet<_> = properties.keys().filter(|key| !(at.is_empty() && *key == "global")).collect();
        // Where nothing is said by default, the schema alone tells what may be.
        assert!(table.is_empty() || given == known, "`{at}`: the values have {given:?}, the schema {known:?}");
        for (key, value) in table {
            same(&format!("{at}.{key}"), value, &properties[key]);
        }
    }
    let (values, schema): (Value, Value) = (values(), serde_json::from_str(&chart("values.schema.json")).unwrap());
    same("", &values, &schema);
    let backends = &schema["properties"]["config"]["properties"]["backends"];
    same(
        "config.backends.kubernetes",
        &values["config"]["backends"]["kubernetes"],
        &backends["additionalProperties"]["then"],
    );
}

#[test]
fn the_chart_is_of_this_version() {
    let about: Value = serde_saphyr::from_str(&chart("Chart.yaml")).unwrap();
    assert_eq!(about["appVersion"], env!("CARGO_PKG_VERSION"));
}
