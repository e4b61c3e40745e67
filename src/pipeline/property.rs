//! Properties that binders set on named elements once the text is parsed: what a person configured is data, never text.

use crate::model::{Address, Secret, scrub};

use super::record::RecordSpec;

/// One property, as it is set and as it may be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Property {
    /// The element's name in the text.
    pub element: &'static str,
    /// The property's name.
    pub name: &'static str,
    value: Secret,
    is_hidden: bool,
}

impl Property {
    /// A value that may be shown, but for what stands in a URL that is nobody's business.
    pub fn open(element: &'static str, name: &'static str, value: &str) -> Self {
        Self {
            element,
            name,
            value: Secret::new(value),
            is_hidden: false,
        }
    }

    /// A value that is shown as `***`.
    pub fn hidden(element: &'static str, name: &'static str, value: &str) -> Self {
        Self {
            is_hidden: true,
            ..Self::open(element, name, value)
        }
    }

    /// The value itself. Whoever calls this answers for where it goes.
    pub fn reveal(&self) -> &str {
        self.value.reveal()
    }

    /// The value as it may be shown.
    pub fn shown(&self) -> String {
        if self.is_hidden {
            "***".to_owned()
        } else {
            scrub(self.reveal())
        }
    }
}

/// What is set on the source of `record.gst` for a camera.
pub fn source_properties(spec: &RecordSpec) -> Vec<Property> {
    address_properties(&spec.address)
}

/// Where a source receives from, and as whom.
pub(super) fn address_properties(address: &Address) -> Vec<Property> {
    let mut properties = vec![Property::open("source", "location", address.location())];
    if let Some(username) = address.username() {
        properties.push(match address.password() {
            Some(_) => Property::open("source", "user-id", username),
            // A name without a password is often a token in its place.
            None => Property::hidden("source", "user-id", username),
        });
        let password = address.password().map_or("", |password| password.reveal());
        properties.push(Property::hidden("source", "user-pw", password));
    }
    properties
}
