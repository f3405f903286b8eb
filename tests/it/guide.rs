//! The guide names what there is.

use gastown_core::{ErrorKind, SETTINGS};

#[test]
fn the_guide_names_every_setting_and_every_kind_of_error() {
    let guide = include_str!("../../docs/guide.md");
    for setting in SETTINGS {
        assert!(guide.contains(&format!("| `{}` |", setting.name)), "docs/guide.md does not name {}", setting.name);
    }
    for kind in ErrorKind::ALL {
        assert!(guide.contains(&format!("| `{kind}` |")), "docs/guide.md does not name {kind}");
    }
}
