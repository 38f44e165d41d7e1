//! How far a pull is, from what the engine tells of each layer. Pure.

use std::collections::BTreeMap;

use bollard::models::CreateImageInfo;

/// The layers of one image, as far as they were told of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Layers(BTreeMap<String, Layer>);

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Layer {
    bytes: u64,
    of: Option<u64>,
    here: bool,
}

impl Layers {
    /// Takes in one message of the engine's stream.
    pub fn saw(&mut self, told: &CreateImageInfo) {
        let Some(id) = told.id.as_ref() else { return };
        let status = told.status.as_deref().unwrap_or_default();
        let amount = |value: Option<i64>| value.and_then(|value| u64::try_from(value).ok());
        let detail = told.progress_detail.as_ref();
        match status {
            "Pulling fs layer" | "Waiting" | "Retrying" => {
                self.0.entry(id.clone()).or_default();
            }
            "Downloading" => {
                let layer = self.0.entry(id.clone()).or_default();
                layer.bytes = detail.and_then(|detail| amount(detail.current)).unwrap_or(layer.bytes);
                // Some registries do not say; the engine tells 0 or -1 then.
                layer.of = detail.and_then(|detail| amount(detail.total)).filter(|of| *of > 0).or(layer.of);
            }
            // It had come before: no part of this pull.
            "Already exists" => {
                self.0.remove(id);
            }
            "Verifying Checksum" | "Download complete" | "Extracting" | "Pull complete" => {
                if let Some(layer) = self.0.get_mut(id) {
                    layer.here = true;
                    layer.bytes = layer.of.unwrap_or(layer.bytes);
                }
            }
            _ => {}
        }
    }

    /// Bytes that have come, and bytes in all where every layer's size is known.
    pub fn amount(&self) -> (u64, Option<u64>) {
        let bytes = self.0.values().map(|layer| layer.bytes).fold(0, u64::saturating_add);
        // One that came at once was too small to be told of.
        let of = |layer: &Layer| layer.of.or(layer.here.then_some(layer.bytes));
        let all = self.0.values().map(of).try_fold(0, |sum: u64, of| Some(sum.saturating_add(of?)));
        (bytes, all.filter(|_| !self.0.is_empty()))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn saw(layers: &mut Layers, text: &str) {
        layers.saw(&serde_json::from_str(text).unwrap());
    }

    #[test]
    fn layers_sum_up_once_each_has_told_its_size() {
        let mut layers = Layers::default();
        assert_eq!(layers.amount(), (0, None));
        for text in [
            r#"{"status":"Pulling from library/x","id":"1.2"}"#,
            r#"{"status":"Pulling fs layer","progressDetail":{},"id":"a"}"#,
            r#"{"status":"Pulling fs layer","progressDetail":{},"id":"b"}"#,
            r#"{"status":"Already exists","progressDetail":{},"id":"c"}"#,
            r#"{"status":"Downloading","progressDetail":{"current":30,"total":100},"progress":"[=> ]","id":"a"}"#,
        ] {
            saw(&mut layers, text);
        }
        assert_eq!(layers.amount(), (30, None));
        saw(&mut layers, r#"{"status":"Downloading","progressDetail":{"current":5,"total":50},"id":"b"}"#);
        assert_eq!(layers.amount(), (35, Some(150)));
        saw(&mut layers, r#"{"status":"Download complete","progressDetail":{},"id":"a"}"#);
        saw(&mut layers, r#"{"status":"Extracting","progressDetail":{"current":1,"total":100},"id":"a"}"#);
        assert_eq!(layers.amount(), (105, Some(150)));
    }

    /// An engine that begins a pull and then says nothing more.
    async fn engine_that_stalls(listener: tokio::net::TcpListener) {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let (mut stream, _) = listener.accept().await.unwrap();
        let _asked = stream.read(&mut [0; 4_096]).await.unwrap();
        let told = concat!(
            r#"{"status":"Pulling fs layer","id":"a"}"#,
            "\r\n",
            r#"{"status":"Downloading","progressDetail":{"current":12,"total":40},"id":"a"}"#,
            "\r\n"
        );
        let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n";
        let chunk = format!("{head}{:x}\r\n{told}\r\n", told.len());
        stream.write_all(chunk.as_bytes()).await.unwrap();
        std::future::pending::<()>().await;
    }

    #[tokio::test]
    async fn a_pull_tells_how_far_it_is() {
        use crate::node::engine::Engine;
        use crate::node::settings::EngineSettings;
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host = format!("tcp://{}", listener.local_addr().unwrap());
        tokio::spawn(engine_that_stalls(listener));
        let engine = Engine::at(EngineSettings { host, api: Some("1.41".to_owned()) });
        let layers = std::sync::Mutex::new(Layers::default());
        let stall = std::time::Duration::from_millis(300);
        let error = engine.pull("x:1", None, stall, &layers).await.unwrap_err();
        assert!(error.to_string().contains("nothing moved"), "{error}");
        assert_eq!(layers.lock().unwrap().amount(), (12, Some(40)));
    }

    #[test]
    fn a_layer_that_came_at_once_hides_nothing() {
        let mut layers = Layers::default();
        saw(&mut layers, r#"{"status":"Pulling fs layer","id":"a"}"#);
        saw(&mut layers, r#"{"status":"Download complete","id":"a"}"#);
        saw(&mut layers, r#"{"status":"Downloading","progressDetail":{"current":7,"total":-1},"id":"b"}"#);
        assert_eq!(layers.amount(), (7, None));
        saw(&mut layers, r#"{"status":"Pull complete","id":"b"}"#);
        assert_eq!(layers.amount(), (7, Some(7)));
    }
}
