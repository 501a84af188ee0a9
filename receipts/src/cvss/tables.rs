//! The score of each macro vector, and the most severe vectors of each equivalence set.
//!
//! From FIRST's reference calculator (`cvss_lookup.js`, `max_composed.js`, `max_severity.js` at
//! <https://github.com/FIRSTdotorg/cvss-v4-calculator>, commit c5b0d40, BSD-2-Clause, copyright FIRST.ORG, Inc., Red Hat
//! and contributors).

/// There is no such macro vector: EQ3 of 2 implies EQ6 of 1.
const NO: u8 = u8::MAX;

/// Tenths, by EQ1, EQ2 and EQ3 (rows) and EQ4, EQ5 and EQ6 (columns); the last of each runs fastest.
#[rustfmt::skip]
const SCORES: [[u8; 18]; 18] = [
    [100,  99,  98,  95,  95,  92, 100,  96,  93,  87,  91,  81,  93,  90,  89,  80,  81,  68], // 000
    [ 98,  95,  95,  92,  90,  84,  93,  92,  89,  81,  81,  65,  88,  80,  78,  70,  69,  48], // 001
    [ NO,  92,  NO,  82,  NO,  72,  NO,  79,  NO,  69,  NO,  50,  NO,  69,  NO,  55,  NO,  27], // 002
    [ 99,  97,  95,  92,  92,  85,  95,  91,  90,  83,  84,  71,  92,  81,  82,  71,  72,  53], // 010
    [ 95,  93,  92,  85,  85,  73,  92,  82,  80,  72,  70,  59,  84,  70,  71,  52,  50,  30], // 011
    [ NO,  86,  NO,  75,  NO,  52,  NO,  71,  NO,  52,  NO,  29,  NO,  63,  NO,  29,  NO,  17], // 012
    [ 98,  95,  94,  87,  91,  81,  94,  89,  86,  74,  77,  64,  87,  75,  74,  63,  63,  49], // 100
    [ 94,  89,  88,  77,  76,  67,  86,  76,  74,  58,  59,  50,  72,  57,  57,  52,  52,  25], // 101
    [ NO,  83,  NO,  70,  NO,  54,  NO,  65,  NO,  58,  NO,  26,  NO,  53,  NO,  21,  NO,  13], // 102
    [ 95,  90,  88,  76,  76,  70,  90,  77,  75,  62,  61,  53,  77,  66,  68,  59,  52,  30], // 110
    [ 89,  78,  76,  67,  62,  58,  74,  59,  57,  57,  47,  23,  61,  52,  57,  29,  24,  16], // 111
    [ NO,  71,  NO,  59,  NO,  30,  NO,  58,  NO,  26,  NO,  15,  NO,  23,  NO,  13,  NO,   6], // 112
    [ 93,  87,  86,  72,  75,  58,  86,  74,  74,  61,  56,  34,  70,  54,  52,  40,  40,  22], // 200
    [ 85,  75,  74,  55,  62,  51,  72,  57,  55,  41,  46,  19,  53,  36,  34,  19,  19,   8], // 201
    [ NO,  64,  NO,  51,  NO,  20,  NO,  47,  NO,  21,  NO,  11,  NO,  24,  NO,   9,  NO,   4], // 202
    [ 88,  75,  73,  53,  60,  50,  73,  55,  59,  40,  41,  20,  54,  43,  45,  22,  20,  11], // 210
    [ 75,  55,  58,  45,  40,  21,  61,  51,  48,  18,  20,   9,  46,  18,  17,   7,   8,   2], // 211
    [ NO,  53,  NO,  24,  NO,  14,  NO,  24,  NO,  12,  NO,   5,  NO,  10,  NO,   3,  NO,   1], // 212
];

/// Tenths of a point; `None` where there is no such macro vector.
pub(super) fn score(eq: [u8; 6]) -> Option<i64> {
    let [eq1, eq2, eq3, eq4, eq5, eq6] = eq.map(usize::from);
    let is_one = eq1 < 3 && eq2 < 2 && eq3 < 3 && eq4 < 3 && eq5 < 3 && eq6 < 2;
    let row = SCORES.get((eq1 * 2 + eq2) * 3 + eq3)?;
    let tenths = *row.get((eq4 * 3 + eq5) * 2 + eq6)?;
    (is_one && tenths != NO).then_some(i64::from(tenths))
}

/// One equivalence set at one level.
pub(super) struct Level {
    /// Its most severe combinations of metrics, in the order in which they are tried.
    pub(super) most_severe: &'static [&'static [(&'static str, &'static str)]],
    /// Steps from there to the next lower level.
    pub(super) depth: i64,
}

const EQ1: [Level; 3] = [
    Level {
        most_severe: &[&[("AV", "N"), ("PR", "N"), ("UI", "N")]],
        depth: 1,
    },
    Level {
        most_severe: &[
            &[("AV", "A"), ("PR", "N"), ("UI", "N")],
            &[("AV", "N"), ("PR", "L"), ("UI", "N")],
            &[("AV", "N"), ("PR", "N"), ("UI", "P")],
        ],
        depth: 4,
    },
    Level {
        most_severe: &[
            &[("AV", "P"), ("PR", "N"), ("UI", "N")],
            &[("AV", "A"), ("PR", "L"), ("UI", "P")],
        ],
        depth: 5,
    },
];

const EQ2: [Level; 2] = [
    Level {
        most_severe: &[&[("AC", "L"), ("AT", "N")]],
        depth: 1,
    },
    Level {
        most_severe: &[&[("AC", "H"), ("AT", "N")], &[("AC", "L"), ("AT", "P")]],
        depth: 2,
    },
];

/// By EQ3, then EQ6.
const EQ3_EQ6: [[Level; 2]; 3] = [
    [
        Level {
            most_severe: &[&IMPACTS[0]],
            depth: 7,
        },
        Level {
            most_severe: &[&IMPACTS[1], &IMPACTS[2]],
            depth: 6,
        },
    ],
    [
        Level {
            most_severe: &[&IMPACTS[3], &IMPACTS[4]],
            depth: 8,
        },
        Level {
            most_severe: &[
                &IMPACTS[5],
                &IMPACTS[6],
                &IMPACTS[7],
                &IMPACTS[8],
                &IMPACTS[9],
            ],
            depth: 8,
        },
    ],
    [
        Level {
            most_severe: &[],
            depth: 1,
        },
        Level {
            most_severe: &[&IMPACTS[10]],
            depth: 10,
        },
    ],
];

/// VC, VI, VA, CR, IR, AR.
const IMPACTS: [[(&str, &str); 6]; 11] = [
    impacts(["H", "H", "H", "H", "H", "H"]),
    impacts(["H", "H", "L", "M", "M", "H"]),
    impacts(["H", "H", "H", "M", "M", "M"]),
    impacts(["L", "H", "H", "H", "H", "H"]),
    impacts(["H", "L", "H", "H", "H", "H"]),
    impacts(["L", "H", "L", "H", "M", "H"]),
    impacts(["L", "H", "H", "H", "M", "M"]),
    impacts(["H", "L", "H", "M", "H", "M"]),
    impacts(["H", "L", "L", "M", "H", "H"]),
    impacts(["L", "L", "H", "H", "H", "M"]),
    impacts(["L", "L", "L", "H", "H", "H"]),
];

const fn impacts(values: [&'static str; 6]) -> [(&'static str, &'static str); 6] {
    let [vc, vi, va, cr, ir, ar] = values;
    [
        ("VC", vc),
        ("VI", vi),
        ("VA", va),
        ("CR", cr),
        ("IR", ir),
        ("AR", ar),
    ]
}

const EQ4: [Level; 3] = [
    Level {
        most_severe: &[&[("SC", "H"), ("SI", "S"), ("SA", "S")]],
        depth: 6,
    },
    Level {
        most_severe: &[&[("SC", "H"), ("SI", "H"), ("SA", "H")]],
        depth: 5,
    },
    Level {
        most_severe: &[&[("SC", "L"), ("SI", "L"), ("SA", "L")]],
        depth: 4,
    },
];

/// The levels of EQ1, EQ2, EQ3 with EQ6, and EQ4. EQ5 has one metric, so it has no distances.
pub(super) fn levels(eq: [u8; 6]) -> [Option<&'static Level>; 4] {
    let [eq1, eq2, eq3, eq4, _, eq6] = eq.map(usize::from);
    [
        EQ1.get(eq1),
        EQ2.get(eq2),
        EQ3_EQ6.get(eq3).and_then(|levels| levels.get(eq6)),
        EQ4.get(eq4),
    ]
}

/// How far each value of a metric is from its most severe one, in steps.
pub(super) fn steps(metric: &str, value: &str) -> i64 {
    let order: &[&str] = match metric {
        "AV" => &["N", "A", "L", "P"],
        "PR" => &["N", "L", "H"],
        "UI" => &["N", "P", "A"],
        "AC" => &["L", "H"],
        "AT" => &["N", "P"],
        "VC" | "VI" | "VA" => &["H", "L", "N"],
        "SC" | "SI" | "SA" => &["S", "H", "L", "N"],
        _ => &["H", "M", "L"],
    };
    let place = order.iter().position(|known| *known == value);
    place.map_or(0, |place| i64::try_from(place).unwrap_or(0))
}
