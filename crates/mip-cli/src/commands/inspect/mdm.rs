//! The part of `mip inspect` that is about Apple's own MDM channel.

use mip_core::inspection::{Inspection, MdmPoint, Met};

use crate::output::text::Rows;

/// Whether Apple's channel takes it, in words.
pub(super) fn answer(qualifies: Met) -> &'static str {
    match qualifies {
        Met::Yes => "yes, as far as the file tells",
        Met::No => "no",
        Met::Unknown => "not known",
    }
}

/// The verdict, with the points that keep it from being "yes"; all of them with `all`.
pub(super) fn rows(i: &Inspection, all: bool) -> Rows {
    let verdict = &i.apple_mdm;
    let mut rows = Rows::new();
    rows.add("takes it", answer(verdict.qualifies));
    points(&mut rows, &verdict.points, all);
    if verdict.qualifies != Met::No {
        let answer = match verdict.managed {
            Met::Yes => "yes",
            Met::No => "no",
            Met::Unknown => "not known",
        };
        rows.add("as managed", answer);
        points(&mut rows, &verdict.managed_points, all);
    }
    rows
}

fn points(rows: &mut Rows, points: &[MdmPoint], all: bool) {
    for p in points {
        let label = match (p.met, p.counts) {
            (Met::Yes, _) if !all => continue,
            (Met::Unknown, false) if !all => continue,
            (Met::Yes, _) => "  met",
            (Met::No, true) => "  not met",
            (Met::No, false) => "  no, as a remark",
            (Met::Unknown, true) => "  not known",
            (Met::Unknown, false) => "  cannot be known",
        };
        // Details are escaped by the library, and say themselves what they are about.
        let wanted = if all { format!("{}: ", p.requirement) } else { String::new() };
        rows.add(label, format!("{wanted}{} [{}]", p.detail, p.code));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mip_core::inspection::InputInfo;

    #[test]
    fn what_is_not_met_is_always_shown_and_the_rest_on_request() {
        let mut i = Inspection::new(InputInfo::default());
        i.apple_mdm.qualifies = Met::No;
        i.apple_mdm.points = vec![
            MdmPoint::new("a", "first", Met::Yes, "fine"),
            MdmPoint::new("b", "second", Met::No, "do this"),
            MdmPoint::new("c", "third", Met::Unknown, "offline").does_not_count(),
        ];
        let short = rows(&i, false).text();
        assert!(
            short.contains("takes it")
                && short.contains("do this [b]")
                && !short.contains("second"),
            "{short}"
        );
        assert!(!short.contains("first") && !short.contains("third"), "{short}");
        assert!(!short.contains("managed"), "{short}");
        let long = rows(&i, true).text();
        assert!(long.contains("first: fine [a]") && long.contains("third: offline [c]"), "{long}");
        i.apple_mdm.qualifies = Met::Yes;
        assert!(rows(&i, false).text().contains("as managed"));
    }
}
