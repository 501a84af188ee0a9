//! Holds every answer of the daemon to `docs/api/openapi.json`.
//!
//! Feature `answers`: our own tests turn it on, driver crates that borrow a token do without JSON Schema.

#[cfg(feature = "answers")]
pub use self::checked::Answers;
#[cfg(not(feature = "answers"))]
pub use self::unchecked::Answers;

#[cfg(not(feature = "answers"))]
mod unchecked {
    use crate::site::http::{Request, Response};

    /// Checks nothing.
    #[derive(Debug, Default)]
    pub struct Answers;

    impl Answers {
        /// Lets the answer pass.
        pub fn check(&self, _: &Request, _: &Response) {}
    }
}

#[cfg(feature = "answers")]
mod checked {
    use std::collections::BTreeMap;
    use std::sync::{Arc, Mutex};

    use jsonschema::Validator;
    use serde_json::{Value, json};

    use crate::site::http::{Request, Response};

    /// The API description, with the validators that were needed so far.
    #[derive(Debug)]
    pub struct Answers {
        document: Value,
        validators: Mutex<BTreeMap<String, Arc<Validator>>>,
    }

    impl Default for Answers {
        fn default() -> Self {
            let text = include_str!("../../../docs/api/openapi.json");
            let document = serde_json::from_str(text).expect("docs/api/openapi.json");
            Self {
                document,
                validators: Mutex::default(),
            }
        }
    }

    impl Answers {
        /// Panics unless endpoint, status, code, media type and body are as described.
        pub fn check(&self, request: &Request, response: &Response) {
            let (method, path) = request.method_and_path();
            let status = response.status.to_string();
            // Heads that the HTTP library itself refuses have no body to describe.
            if response.status == 431 || (response.status == 400 && response.body.is_empty()) {
                return;
            }
            let described = match self.operation(method, path) {
                Some(operation) => self.resolve(&operation["responses"][&status]).clone(),
                // No such endpoint or method: there is nothing but a problem to answer.
                None => self.document["components"]["responses"]["Problem"].clone(),
            };
            let at = format!("{method} {path} {status}");
            assert!(described.is_object(), "{at} is not in the API description");
            self.check_code(method, path, response);
            let media_type = response.header("content-type").unwrap_or_default();
            let media_type = media_type.split(';').next().unwrap_or_default();
            let content = &described["content"][media_type];
            assert!(
                content.is_object(),
                "{at}: {media_type:?} is not in the API description"
            );
            if media_type.ends_with("json") {
                self.check_body(&at, &content["schema"], &response.json());
            }
        }

        /// The description of each status names the codes that come with it.
        fn check_code(&self, method: &str, path: &str, response: &Response) {
            let Some(operation) = self
                .operation(method, path)
                .filter(|_| response.status >= 400)
            else {
                return;
            };
            let code = response.code();
            let status = &operation["responses"][response.status.to_string()];
            let listed = status["description"].as_str().unwrap_or_default();
            assert!(
                listed.contains(&format!("`{code}`")),
                "{method} {path}: code {code} is not described"
            );
        }

        fn operation(&self, method: &str, path: &str) -> Option<&Value> {
            let fits = |template: &str| {
                // Tiles have slashes in their last part.
                let (have, want): (Vec<_>, Vec<_>) =
                    (path.split('/').collect(), template.split('/').collect());
                let same = |(have, want): (&&str, &&str)| have == want || want.starts_with('{');
                let tile = template.ends_with("{tile}") && have.len() > want.len();
                (have.len() == want.len() || tile) && have.iter().zip(&want).all(same)
            };
            let paths = self.document["paths"].as_object()?;
            // The literal spelling wins over a template.
            let found = paths
                .get(path)
                .or_else(|| Some(paths.iter().find(|(template, _)| fits(template))?.1));
            found?.get(method.to_ascii_lowercase())
        }

        fn resolve<'v>(&'v self, value: &'v Value) -> &'v Value {
            match value["$ref"]
                .as_str()
                .and_then(|reference| reference.strip_prefix('#'))
            {
                Some(pointer) => self
                    .document
                    .pointer(pointer)
                    .expect("a reference in the document"),
                None => value,
            }
        }

        fn check_body(&self, at: &str, schema: &Value, body: &Value) {
            let validator = self.validator(schema);
            let errors: Vec<String> = validator
                .iter_errors(body)
                .map(|e| format!("{e} at {}", e.instance_path()))
                .collect();
            assert!(errors.is_empty(), "{at}: {}\n{body:#}", errors.join("\n"));
        }

        fn validator(&self, schema: &Value) -> Arc<Validator> {
            let mut validators = self.validators.lock().expect("a panic elsewhere");
            let make = || {
                let root = json!({"components": self.document["components"], "allOf": [schema]});
                Arc::new(jsonschema::draft202012::new(&root).expect("a schema"))
            };
            Arc::clone(validators.entry(schema.to_string()).or_insert_with(make))
        }
    }
}
