//! Paths, parameters and answers.

use serde_json::{Map, Value, json};

use super::narrow::STRING;
use crate::http::tes::idempotency;
use crate::http::tes::list::LARGEST_SIZE;

/// Every path below a server's URL.
pub fn paths() -> Value {
    json!({
        "/service-info": { "get": service_info() },
        "/tasks": { "get": list(), "post": create() },
        "/tasks/{id}": { "get": get() },
        "/tasks/{id}:cancel": { "post": cancel() },
    })
}

fn service_info() -> Value {
    json!({
        "operationId": "GetServiceInfo",
        "tags": ["TaskService"],
        "summary": "Who this service is and what it offers",
        "description": "Open without login.",
        "security": [{}],
        "responses": responses("The service.", "tesServiceInfo", None, &[405, 406, 500]),
    })
}

fn list() -> Value {
    json!({
        "operationId": "ListTasks",
        "tags": ["TaskService"],
        "summary": "Tasks of the caller, newest first",
        "description": "All filters must hold. Tasks that arrive while the pages are walked neither repeat nor hide one.",
        "parameters": [
            query("name_prefix", "How the name begins, to the letter.", json!({ "type": "string", "pattern": STRING })),
            query("state", "The state; absent is any.", json!({ "$ref": "#/components/schemas/tesState" })),
            texts(
                "tag_key",
                "Tags that a task must have. The first key goes with the first `tag_value`, and so on; a key without a \
                 value, or with an empty one, means that the tag is there.",
            ),
            texts("tag_value", "The values of the tags, in the places of their keys; not more than there are keys."),
            page_size(),
            query(
                "page_token",
                "`next_page_token` of the page before, asked for with the same filters. Anything else is refused.",
                json!({ "type": "string" }),
            ),
            view(),
        ],
        "responses":
            responses("A page.", "tesListTasksResponse", None, &[400, 401, 405, 406, 500, 503]),
    })
}

fn create() -> Value {
    let made = json!({
        "operationId": "GetTask",
        "parameters": { "id": "$response.body#/id" },
        "description": "The new task.",
    });
    json!({
        "operationId": "CreateTask",
        "tags": ["TaskService"],
        "summary": "Store a task to be run",
        "description": "Answered once it is stored; nothing else has been done by then. Storage that cannot be \
                        reached is not refused here: the task fails with a line in its system log.",
        "parameters": [idempotency_key()],
        "requestBody": {
            "required": true,
            "content": { "application/json": { "schema": { "$ref": "#/components/schemas/tesTask" } } },
        },
        "responses": responses(
            "The task is stored.",
            "tesCreateTaskResponse",
            Some(("task", made)),
            &[400, 401, 403, 405, 406, 408, 409, 413, 415, 500, 503],
        ),
    })
}

fn get() -> Value {
    json!({
        "operationId": "GetTask",
        "tags": ["TaskService"],
        "summary": "One task",
        "parameters": [id(), view()],
        "responses": responses("The task.", "tesTaskView", None, &[400, 401, 404, 405, 406, 500, 503]),
    })
}

fn cancel() -> Value {
    json!({
        "operationId": "CancelTask",
        "tags": ["TaskService"],
        "summary": "Stop a task",
        "description": "Harmless when it has ended, and when it is repeated. A body is not looked at.",
        "parameters": [id()],
        "responses": responses("It will not go on.", "tesCancelTaskResponse", None, &[401, 403, 404, 405, 406, 500, 503]),
    })
}

fn id() -> Value {
    json!({ "name": "id", "in": "path", "required": true, "description": "The task's id.", "schema": { "type": "string" } })
}

fn idempotency_key() -> Value {
    json!({
        "name": idempotency::HEADER,
        "in": "header",
        "required": false,
        "description": "A name of the caller's for this creation, so that it can be sent again when its answer was \
                        lost: the same key and the same task answer the first id. Kept as long as the task.",
        "schema": { "type": "string", "pattern": "^[!-~]{1,255}$" },
    })
}

fn view() -> Value {
    let schema = json!({ "type": "string", "enum": ["MINIMAL", "BASIC", "FULL"], "default": "MINIMAL" });
    query(
        "view",
        "MINIMAL: id and state. BASIC: all but file contents, system logs and what executors printed. FULL: all.",
        schema,
    )
}

/// Without `allowEmptyValue`: the one parameter for which an empty value does not count as absent (4.12).
fn page_size() -> Value {
    let schema = json!({ "type": "integer", "format": "int32", "minimum": 1, "maximum": LARGEST_SIZE, "default": 256 });
    json!({ "name": "page_size", "in": "query", "required": false, "description": "How many tasks at most.", "schema": schema })
}

/// May be given often; each value is a text, also an empty one.
fn texts(name: &str, description: &str) -> Value {
    let schema = json!({ "type": "array", "items": { "type": "string", "pattern": STRING } });
    json!({ "name": name, "in": "query", "required": false, "description": description, "schema": schema })
}

fn query(name: &str, description: &str, schema: Value) -> Value {
    json!({
        "name": name,
        "in": "query",
        "required": false,
        "allowEmptyValue": true,
        "description": description,
        "schema": schema,
    })
}

/// The good answer, a link out of it, and the bad ones.
fn responses(good: &str, schema: &str, link: Option<(&str, Value)>, bad: &[u16]) -> Value {
    let mut responses = Map::new();
    let mut answer = json!({
        "description": good,
        "content": { "application/json": { "schema": { "$ref": format!("#/components/schemas/{schema}") } } },
    });
    if let Some((name, link)) = link {
        answer["links"] = json!({ name: link });
    }
    responses.insert("200".to_owned(), answer);
    for status in bad {
        responses.insert(status.to_string(), refusal(*status));
    }
    responses.into()
}

fn refusal(status: u16) -> Value {
    let (description, header) = match status {
        400 => ("Something in the request is wrong; `field` names it.", None),
        401 => ("Log in.", Some(("WWW-Authenticate", "The ways to log in."))),
        403 => ("The web page that calls is none that may.", None),
        404 => ("There is no such task.", None),
        409 => ("The Idempotency-Key was used for another task.", None),
        405 => ("Not with this method.", Some(("Allow", "The methods that this path knows."))),
        406 => ("The Accept header excludes JSON.", None),
        408 => ("The body did not arrive in time.", None),
        413 => ("The body is too large.", None),
        415 => ("The body is said to be something other than JSON.", None),
        503 => ("The store is not available; ask again.", Some(("Retry-After", "Seconds to wait."))),
        _ => ("A fault of the server.", None),
    };
    let mut refusal = json!({
        "description": description,
        "content": { "application/json": { "schema": { "$ref": "#/components/schemas/error" } } },
    });
    if let Some((name, meaning)) = header {
        refusal["headers"] = json!({ name: { "description": meaning, "schema": { "type": "string" } } });
    }
    refusal
}
