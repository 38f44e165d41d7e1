//! That every server of the rig is what the suites take it for.

use std::fs;
use std::sync::Once;

use reqwest::{Certificate, Client, Method, StatusCode};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::rig::{Ftp, Rig, WebDav};

/// A client that trusts the rig's authority and follows nothing.
fn client(rig: &Rig) -> Client {
    static RING: Once = Once::new();
    RING.call_once(|| {
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
    let authority = Certificate::from_pem(&fs::read(&rig.ca).unwrap()).unwrap();
    let redirects = reqwest::redirect::Policy::none();
    Client::builder().no_proxy().tls_certs_only([authority]).redirect(redirects).build().unwrap()
}

/// What a server says first, and after each of these lines.
async fn conversation(address: &str, lines: &[&str]) -> Vec<String> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let mut said = vec![line(&mut stream).await];
    for text in lines {
        stream.write_all(format!("{text}\r\n").as_bytes()).await.unwrap();
        said.push(line(&mut stream).await);
    }
    said
}

async fn line(stream: &mut TcpStream) -> String {
    let mut line = Vec::new();
    while !line.ends_with(b"\n") {
        line.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(line).unwrap()
}

#[tokio::test]
async fn the_object_stores_answer() {
    let Some(rig) = Rig::find() else { return };
    let client = client(&rig);
    let s3 = &rig.s3;
    let unsigned = client.get(format!("{}/{}", s3.endpoint, s3.bucket)).send().await.unwrap();
    assert_eq!(unsigned.status(), StatusCode::FORBIDDEN);
    fs::write(s3.folder.join(&s3.public_bucket).join("services.txt"), "public").unwrap();
    for endpoint in [&s3.endpoint, &s3.read_only_endpoint] {
        let url = format!("{endpoint}/{}/services.txt", s3.public_bucket);
        let answer = client.get(url).send().await.unwrap();
        assert_eq!((answer.status(), answer.text().await.unwrap().as_str()), (StatusCode::OK, "public"));
    }

    let url = format!("{}/{}/x", rig.azure.endpoint, rig.azure.container);
    let unsigned = client.get(url).send().await.unwrap();
    assert_eq!(unsigned.headers()["server"].to_str().unwrap().split('/').next(), Some("Azurite-Blob"));
    assert!(unsigned.status().is_client_error(), "{}", unsigned.status());

    let bucket = client.get(format!("{}/storage/v1/b/{}", rig.gcs.endpoint, rig.gcs.bucket)).send().await.unwrap();
    assert_eq!(bucket.json::<serde_json::Value>().await.unwrap()["kind"], "storage#bucket");
}

#[tokio::test]
async fn the_file_servers_answer() {
    let Some(rig) = Rig::find() else { return };
    let login = |ftp: &Ftp| [format!("USER {}", ftp.user), format!("PASS {}", ftp.password)];
    let [user, password] = login(&rig.ftp);
    let said = conversation(&rig.ftp.address, &[&user, &password]).await;
    assert!(said[0].starts_with("220 ") && said[2].starts_with("230 "), "{said:?}");
    // In clear: refused. Offered TLS: taken.
    let [user, _] = login(&rig.ftps);
    let said = conversation(&rig.ftps.address, &[&user, "AUTH TLS"]).await;
    assert!(said[1].starts_with("550 ") && said[2].starts_with("234 "), "{said:?}");

    let said = conversation(&rig.sftp.address, &[]).await;
    assert!(said[0].starts_with("SSH-2.0-"), "{said:?}");
    let known = fs::read_to_string(&rig.sftp.known_hosts).unwrap();
    assert!(known.contains(rig.sftp.address.rsplit(':').next().unwrap()), "{known}");
    assert!(fs::read_to_string(&rig.sftp.private_key).unwrap().contains("OPENSSH PRIVATE KEY"));
}

#[tokio::test]
async fn the_webdav_servers_show_the_same_files() {
    let Some(rig) = Rig::find() else { return };
    let client = client(&rig);
    fs::write(rig.webdav.folder.join("services.txt"), "shared").unwrap();
    for WebDav { url, user, password, .. } in [&rig.webdav, &rig.webdavs] {
        let file = format!("{url}services.txt");
        let anonymous = client.get(&file).send().await.unwrap();
        assert_eq!(anonymous.status(), StatusCode::UNAUTHORIZED);
        let find = Method::from_bytes(b"PROPFIND").unwrap();
        let found = client.request(find, &file).basic_auth(user, Some(password)).header("depth", "0").send().await;
        assert_eq!(found.unwrap().status(), StatusCode::MULTI_STATUS);
    }
}

#[tokio::test]
async fn the_web_server_has_its_moods() {
    let Some(rig) = Rig::find() else { return };
    let (client, web) = (client(&rig), &rig.web);
    fs::write(web.folder.join("services.txt"), "0123456789").unwrap();
    for base in [&web.http, &web.https, &web.other_http, &web.other_https] {
        let part = client.get(format!("{base}services.txt")).header("range", "bytes=8-").send().await.unwrap();
        assert_eq!((part.status(), part.text().await.unwrap().as_str()), (StatusCode::PARTIAL_CONTENT, "89"));
    }
    let whole = client.get(format!("{}no-ranges/services.txt", web.http)).header("range", "bytes=8-").send().await;
    assert_eq!(whole.unwrap().status(), StatusCode::OK);

    fs::write(web.folder.join("private/services.txt"), "private").unwrap();
    let private = format!("{}private/services.txt", web.http);
    let statuses = [
        client.get(&private).send().await.unwrap().status(),
        client.get(&private).basic_auth(&web.user, Some(&web.password)).send().await.unwrap().status(),
        client.put(format!("{}services.txt", web.http)).body("x").send().await.unwrap().status(),
        client.put(format!("{}upload/services/x", web.http)).body("x").send().await.unwrap().status(),
        client.put(format!("{}upload-private/x", web.http)).body("x").send().await.unwrap().status(),
    ];
    // 201 the first time, 204 from then on.
    assert!(statuses[3].is_success(), "{}", statuses[3]);
    assert_eq!([0, 1, 2, 4].map(|which| statuses[which].as_u16()), [401, 200, 405, 401]);

    let busy = client.get(format!("{}busy", web.http)).send().await.unwrap();
    assert_eq!((busy.status().as_u16(), busy.headers()["retry-after"].to_str().unwrap()), (503, "1"));
    for (from, to) in [
        ("moved-here/a", format!("{}a", web.https)),
        ("moved/a", format!("{}a", web.other_https)),
        ("moved-to-http/a", format!("{}a", web.other_http)),
        ("loop", format!("{}loop", web.https)),
    ] {
        let moved = client.get(format!("{}{from}", web.https)).send().await.unwrap();
        assert_eq!((moved.status().as_u16(), moved.headers()["location"].to_str().unwrap()), (302, to.as_str()));
    }
    let told = client.get(format!("{}told", web.http)).bearer_auth("t").send().await.unwrap();
    assert_eq!(told.text().await.unwrap(), "Bearer t\n");
}

#[tokio::test]
async fn published_objects_are_found_through_drs() {
    let Some(rig) = Rig::find() else { return };
    let client = client(&rig);
    rig.drs.publish("services", &json!({"id": "services", "size": 3}));
    rig.drs.publish_access("services", "s3", &json!({"url": "s3://data/x"}));
    for base in [format!("http://{}", rig.drs.http), format!("https://{}", rig.drs.https)] {
        let ask = async |path: &str| client.get(format!("{base}/ga4gh/drs/v1/objects/{path}")).send().await.unwrap();
        let object = ask("services").await;
        assert_eq!(object.headers()["content-type"], "application/json");
        assert_eq!(object.json::<serde_json::Value>().await.unwrap()["size"], 3);
        assert_eq!(ask("services/access/s3").await.json::<serde_json::Value>().await.unwrap()["url"], "s3://data/x");
        assert_eq!(ask("nobody").await.status(), StatusCode::NOT_FOUND);
    }
}
