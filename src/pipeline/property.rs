//! Properties that binders set on named elements once the text is parsed: what a person configured is data, never text.

use crate::model::{Secret, scrub};

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
