//! What an operation is, and how one line of the table becomes a method in every language.

use crate::model::{Error, Result, Role, Scope};

/// What an operation does to the town.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum OperationKind {
    /// It changes the town in one transaction and takes an idempotency key.
    Change,
    /// It reads one snapshot.
    Ask,
    /// It looks at the outside world as well.
    Outside,
}

/// One operation.
#[derive(Debug, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct Operation {
    /// Its name: the group, a point, the method.
    pub name: &'static str,
    /// What it does to the town.
    pub kind: OperationKind,
    /// The type of its input.
    pub input: &'static str,
    /// The type of its output.
    pub output: &'static str,
    /// The roles of agents that may call it; operators and rigs may call everything their rows allow.
    pub roles: &'static [Role],
    /// What it does, in a sentence.
    pub meaning: &'static str,
}

impl Operation {
    pub(super) fn check(&self, scope: &Scope) -> Result<()> {
        match scope {
            Scope::Agent { role, .. } if !self.roles.contains(role) => {
                Err(Error::forbidden("role_not_allowed", format!("a {role} may not call {}", self.name))
                    .with("role", role)
                    .with("operation", self.name))
            }
            _ => Ok(()),
        }
    }
}

/// Makes of a table the methods, the list of operations, and the call by name.
macro_rules! table_of_operations {
    ($($(#[doc = $group_doc:literal])* $group:ident as $type:ident {
        $($(#[doc = $doc:literal])* $kind:ident $name:literal $method:ident($input:ty) -> $output:ty = $work:expr, for [$($role:ident)*];)*
    })*) => {
        $(
            $(#[doc = $group_doc])*
            #[derive(Clone, Debug)]
            pub struct $type(pub(super) Handle);

            impl $type {
                $($(#[doc = $doc])* pub async fn $method(&self, input: impl Into<$input>) -> Result<$output> {
                    table_of_operations!(@run $kind self.0, operation($name), input.into(), $work)
                })*
            }
        )*

        static OPERATIONS: &[Operation] = &[$($(Operation {
            name: $name,
            kind: table_of_operations!(@kind $kind),
            input: stringify!($input),
            output: stringify!($output),
            roles: &[$(Role::$role),*],
            meaning: concat!($($doc),*),
        },)*)*];

        /// Runs the operation of that name.
        pub(super) async fn call(handle: &Handle, name: &str, input: serde_json::Value) -> Result<serde_json::Value> {
            match name {
                $($($name => {
                    // Who may not call it is told nothing of what it wants.
                    handle.check(operation($name))?;
                    let input: $input = from_json(operation($name), input)?;
                    to_json(handle.$group().$method(input).await?)
                })*)*
                other => Err(unknown(other)),
            }
        }
    };
    (@run change $handle:expr, $operation:expr, $input:expr, $work:expr) => { $handle.change($operation, $input, $work).await };
    (@run ask $handle:expr, $operation:expr, $input:expr, $work:expr) => { $handle.ask($operation, $input, $work).await };
    (@run outside $handle:expr, $operation:expr, $input:expr, $work:expr) => {{
        let inner = $handle.inner();
        $handle.go($operation, $work(&inner, $operation, $input)).await
    }};
    (@kind change) => { OperationKind::Change };
    (@kind ask) => { OperationKind::Ask };
    (@kind outside) => { OperationKind::Outside };
}

pub(super) use table_of_operations;
