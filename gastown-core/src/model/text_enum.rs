//! Closed sets of words.

/// Declares an enum whose variants are words, the same in storage, in JSON and in every language.
macro_rules! text_enum {
    ($(#[$meta:meta])* pub enum $name:ident = $what:literal { $($(#[$vmeta:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        #[serde(try_from = "String", into = "&'static str")]
        #[non_exhaustive]
        pub enum $name { $($(#[$vmeta])* $variant,)* }

        impl $name {
            /// Every variant, in the order of declaration.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The word.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::model::Error;
            fn from_str(text: &str) -> $crate::model::Result<Self> {
                match text {
                    $($text => Ok(Self::$variant),)*
                    other => Err($crate::model::Error::invalid(
                        "word_unknown",
                        format!("{} is not a {}", $crate::model::id::excerpt(other), $what),
                    )
                    .with("what", $what)
                    .with("found", $crate::model::id::excerpt(other))
                    .with("allowed", [$($text),*].join(", "))),
                }
            }
        }

        impl TryFrom<String> for $name {
            type Error = $crate::model::Error;
            fn try_from(text: String) -> $crate::model::Result<Self> {
                text.parse().inspect_err($crate::model::refusal::note)
            }
        }

        impl From<$name> for &'static str {
            fn from(word: $name) -> Self {
                word.as_str()
            }
        }

        impl $crate::model::value::ColumnValue for $name {
            const TYPE: $crate::model::value::ColumnType = $crate::model::value::ColumnType::Text;
            fn to_cell(&self) -> $crate::model::value::Cell<'_> {
                $crate::model::value::Cell::text(self.as_str())
            }
            fn from_cell(cell: &$crate::model::value::Cell<'_>) -> $crate::model::Result<Self> {
                match cell {
                    $crate::model::value::Cell::Text(text) => text.parse(),
                    other => <String as $crate::model::value::ColumnValue>::from_cell(other)?.parse(),
                }
            }
        }
    };
}

pub(crate) use text_enum;
