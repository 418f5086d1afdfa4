use super::all;
use crate::functions::call::testing::*;
use datafusion::common::ScalarValue;

fn call(name: &str, args: &[ScalarValue]) -> String {
    eval(&all(), name, args)
}

fn of_texts(name: &str, args: &[&str]) -> String {
    call(name, &args.iter().map(|arg| text(arg)).collect::<Vec<_>>())
}

fn number() -> ScalarValue {
    ScalarValue::Int32(None)
}

#[test]
fn flinks_recorded_answers() {
    assert_eq!(of_texts("upper", &["abC"]), "ABC");
    assert_eq!(of_texts("lower", &["ABc"]), "abc");
    assert_eq!(of_texts("char_length", &["héé"]), "3");
    assert_eq!(call("substring", &[text("abcdef"), int(2), int(3)]), "bcd");
    assert_eq!(call("substring", &[text("abcdef"), int(-2)]), "ef");
    assert_eq!(call("substr", &[text("abc"), int(0)]), "abc");
    assert_eq!(of_texts("trim", &["  x "]), "x");
    assert_eq!(of_texts("__trim", &["LEADING", "xxy", "x"]), "y");
    assert_eq!(of_texts("ltrim", &["  a"]), "a");
    assert_eq!(of_texts("rtrim", &["a  "]), "a");
    assert_eq!(of_texts("replace", &["aXbX", "X", "-"]), "a-b-");
    assert_eq!(of_texts("replace", &["aaa", "aa", "b"]), "ba");
    assert_eq!(of_texts("replace", &["héhé", "é", ""]), "hh");
    assert_eq!(of_texts("replace", &["abc", "", "-"]), "-a-b-c-");
    assert_eq!(call("concat", &[text("a"), no_text(), text("b")]), "NULL");
    assert_eq!(call("concat_ws", &[text("-"), text("a"), no_text(), text("b")]), "a-b");
    assert_eq!(call("lpad", &[text("7"), int(3), text("0")]), "007");
    assert_eq!(call("rpad", &[text("7"), int(3), text("x")]), "7xx");
    assert_eq!(call("repeat", &[text("ab"), int(3)]), "ababab");
    assert_eq!(of_texts("reverse", &["abc"]), "cba");
    assert_eq!(of_texts("position", &["c", "abc"]), "3");
    assert_eq!(of_texts("instr", &["abcabc", "c"]), "3");
    assert_eq!(call("locate", &[text("b"), text("abcb"), int(3)]), "4");
    assert_eq!(of_texts("initcap", &["hello wORLD"]), "Hello World");
    assert_eq!(call("left", &[text("abcdef"), int(2)]), "ab");
    assert_eq!(call("right", &[text("abcdef"), int(2)]), "ef");
    assert_eq!(call("split_index", &[text("a,b,c"), text(","), int(1)]), "b");
    assert_eq!(call("split_index", &[text("a,b,c"), text(","), int(9)]), "NULL");
    assert_eq!(of_texts("ascii", &["A"]), "65");
    assert_eq!(call("chr", &[int(65)]), "A");
    assert_eq!(call("overlay", &[text("abcdef"), text("XX"), int(2)]), "aXXdef");
    assert_eq!(call("regexp_extract", &[text("foo-12-bar"), text("([a-z]+)-([0-9]+)"), int(2)]), "12");
    assert_eq!(of_texts("regexp_replace", &["a1b22", "[0-9]+", "#"]), "a#b#");
    assert_eq!(of_texts("regexp", &["abc", "b."]), "true");
    assert_eq!(of_texts("__like", &["a_c", r"a\_c", r"\"]), "true");
    assert_eq!(of_texts("__similar", &["abc", "(a|b)%"]), "true");
    assert_eq!(of_texts("md5", &["a"]), "0cc175b9c0f1b6a831c399e269772661");
    assert_eq!(of_texts("sha256", &["a"]), "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb");
    assert_eq!(of_texts("to_base64", &["hi"]), "aGk=");
    assert_eq!(of_texts("from_base64", &["aGk="]), "hi");
    assert_eq!(of_texts("parse_url", &["http://h/p?q=1", "QUERY", "q"]), "1");
    assert_eq!(of_texts("btrim", &["xxaxx", "x"]), "a");
    assert_eq!(of_texts("startswith", &["abc", "ab"]), "true");
    assert_eq!(of_texts("endswith", &["abc", "bc"]), "true");
    assert_eq!(call("elt", &[int(2), text("a"), text("b")]), "b");
    assert_eq!(of_texts("translate", &["abc", "ab", "xy"]), "xyc");
    assert_eq!(call("printf", &[text("%d-%s"), int(3), text("x")]), "3-x");
}

#[test]
fn a_substring_may_start_before_after_and_between() {
    assert_eq!(call("substring", &[text("abc"), int(9)]), "");
    assert_eq!(call("substring", &[text("abc"), int(-4), int(2)]), "");
    assert_eq!(call("substring", &[text("abc"), int(2), int(-1)]), "NULL");
    assert_eq!(call("substring", &[text("héllo"), int(2), int(2)]), "él");
    assert_eq!(call("substring", &[text("日本語"), int(-2)]), "本語");
    assert_eq!(call("substring", &[text(""), int(1), int(1)]), "");
    assert_eq!(call("substring", &[no_text(), int(1)]), "NULL");
    assert_eq!(call("substring", &[text("abc"), ScalarValue::Int64(Some(i64::MIN))]), "");
    assert_eq!(call("substring", &[text("abc"), ScalarValue::Int8(Some(2))]), "bc");
}

#[test]
fn left_and_right_of_a_negative_length_are_empty() {
    assert_eq!(call("left", &[text("abc"), int(-1)]), "");
    assert_eq!(call("right", &[text("abc"), int(-1)]), "");
    assert_eq!(call("right", &[text("héé"), int(2)]), "éé");
    assert_eq!(call("left", &[text("abc"), number()]), "NULL");
}

#[test]
fn padding_is_null_for_an_empty_pad_and_cuts_what_is_too_long() {
    assert_eq!(call("lpad", &[text("hi"), int(1), text("??")]), "h");
    assert_eq!(call("lpad", &[text("hi"), int(1), text("")]), "NULL");
    assert_eq!(call("rpad", &[text("hi"), int(-1), text("x")]), "NULL");
    assert_eq!(call("lpad", &[text("é"), int(4), text("añ")]), "añaé");
    assert!(try_eval(&all(), "rpad", &[text("a"), int(i32::MAX), text("x")]).is_err());
    assert!(try_eval(&all(), "repeat", &[text("abcd"), int(i32::MAX)]).is_err());
    assert_eq!(call("repeat", &[text("ab"), int(-1)]), "");
    assert_eq!(call("repeat", &[text(""), int(i32::MAX)]), "");
}

#[test]
fn instr_counts_occurrences_from_either_end() {
    assert_eq!(call("instr", &[text("abcabc"), text("c"), int(4)]), "6");
    assert_eq!(call("instr", &[text("aXbXcX"), text("X"), int(1), int(2)]), "4");
    assert_eq!(call("instr", &[text("aXbXcX"), text("X"), int(-1), int(2)]), "4");
    assert_eq!(call("instr", &[text("aXbX"), text("X"), int(1), int(3)]), "0");
    assert_eq!(call("instr", &[text("abc"), text("a"), int(0)]), "0");
    assert_eq!(of_texts("instr", &["日本", "本"]), "2");
    assert!(try_eval(&all(), "instr", &[text("a"), text("a"), int(1), int(0)]).is_err());
    assert_eq!(of_texts("position", &["", "abc"]), "1");
    assert_eq!(call("position", &[text("b"), text("abcb"), int(3)]), "4");
    assert_eq!(of_texts("locate", &["z", "abc"]), "0");
}

#[test]
fn a_split_keeps_empty_pieces_and_takes_a_character_code() {
    assert_eq!(call("split_index", &[text("a,,c"), text(","), int(1)]), "");
    assert_eq!(call("split_index", &[text("a,b"), text(","), int(-1)]), "NULL");
    assert_eq!(call("split_index", &[text(""), text(","), int(0)]), "NULL");
    assert_eq!(call("split_index", &[text("a|b"), int(124), int(1)]), "b");
    assert_eq!(call("split_index", &[text("a--b"), text("--"), int(1)]), "b");
    assert_eq!(call("substring_index", &[text("www.apache.org"), text("."), int(2)]), "www.apache");
    assert_eq!(call("substring_index", &[text("www.apache.org"), text("."), int(-1)]), "org");
}

#[test]
fn overlay_follows_flink_at_its_odd_edges() {
    assert_eq!(call("overlay", &[text("xxxxxtest"), text("xxxx"), int(6), int(2)]), "xxxxxxxxxst");
    assert_eq!(call("overlay", &[text("abc"), text("X"), int(9)]), "abc");
    assert_eq!(call("overlay", &[text("abc"), text("X"), int(0)]), "abc");
    assert_eq!(call("overlay", &[text("abcdef"), text("XX"), int(2), int(0)]), "aXX");
}

#[test]
fn translate_drops_characters_without_a_partner() {
    assert_eq!(of_texts("translate3", &["www.apache.org", "wapcheorg", " APCHEcom"]), "   .APACHE.com");
    assert_eq!(of_texts("translate", &["abc", "ab", "x"]), "xc");
    assert_eq!(call("translate", &[text("abc"), text("a"), no_text()]), "bc", "no partners at all");
}

#[test]
fn invalid_patterns_are_null_or_false_as_in_flink() {
    assert_eq!(of_texts("regexp", &["abc", "("]), "false");
    assert_eq!(of_texts("regexp", &["abc", ""]), "false");
    assert_eq!(of_texts("regexp_extract", &["abc", "("]), "NULL");
    assert_eq!(call("regexp_extract", &[text("abc"), text("b"), int(3)]), "NULL");
    assert_eq!(of_texts("regexp_extract", &["abc", "x"]), "NULL");
    assert_eq!(of_texts("regexp_replace", &["abc", "(", ""]), "NULL");
    assert!(try_eval(&all(), "regexp_extract", &[text("a"), text("(?=a)")]).is_err());
}

#[test]
fn replacements_are_literal_and_empty_matches_count_as_in_java() {
    assert_eq!(of_texts("regexp_replace", &["foobar", "oo|ar", ""]), "fb");
    assert_eq!(of_texts("regexp_replace", &["abc", "b", "$0\\"]), "a$0\\c");
    assert_eq!(of_texts("regexp_replace", &["abc", "b*", "-"]), "-a--c-");
    assert_eq!(of_texts("regexp_count", &["héllo wörld", "[^a-z ]"]), "2");
    assert_eq!(of_texts("regexp_instr", &["héllo", "l+"]), "3");
    assert_eq!(of_texts("regexp_instr", &["abc", "x"]), "0");
    assert_eq!(of_texts("regexp_substr", &["foo123", "[0-9]"]), "1");
    assert_eq!(call("regexp_extract_all", &[text("a1b2"), text("([a-z])([0-9])"), int(2)]), "[1, 2]");
    assert_eq!(of_texts("regexp_extract_all", &["a1b2", "([a-z])[0-9]"]), "[a, b]");
    assert!(try_eval(&all(), "regexp_extract_all", &[text("a"), text("a")]).is_err());
    assert_eq!(of_texts("regexp_split", &["a,b;c", "[,;]"]), "[a, b, c]");
}

#[test]
fn like_has_no_escape_character_unless_one_is_named() {
    assert_eq!(of_texts("__like", &[r"a\bc", r"a\_c"]), "true");
    assert_eq!(of_texts("__like", &["a_c", r"a\_c"]), "false");
    assert_eq!(of_texts("__like", &["50%", "50!%", "!"]), "true");
    assert_eq!(of_texts("__like", &["50x", "50!%", "!"]), "false");
    assert_eq!(call("__like", &[no_text(), text("%")]), "NULL");
    assert!(try_eval(&all(), "__like", &[text("a"), text("!a"), text("!")]).is_err());
}

#[test]
fn similar_matches_the_whole_text() {
    assert_eq!(of_texts("__similar", &["abc", "a"]), "false");
    assert_eq!(of_texts("__similar", &["abc", "[a-c]+"]), "true");
    assert_eq!(of_texts("__similar", &["ab1", "[[:ALPHA:]]+[[:digit:]]"]), "true");
    assert_eq!(of_texts("__similar", &["a$", "_$"]), "true");
    assert_eq!(of_texts("__similar", &["a%", "a!%", "!"]), "true");
    assert_eq!(of_texts("__similar", &["ab", "a!%", "!"]), "false");
}

#[test]
fn digests_and_encodings_of_other_lengths() {
    assert_eq!(call("sha2", &[text("a"), int(256)]), of_texts("sha256", &["a"]));
    assert!(try_eval(&all(), "sha2", &[text("a"), int(1)]).is_err());
    assert_eq!(of_texts("sha1", &["abc"]), "a9993e364706816aba3e25717850c26c9cd0d89d");
    assert_eq!(call("hex", &[int(20)]), "14");
    assert_eq!(call("hex", &[int(-1)]), "FFFFFFFFFFFFFFFF");
    assert_eq!(of_texts("hex", &["hello,world"]), "68656C6C6F2C776F726C64");
    assert_eq!(of_texts("unhex", &["xyz"]), "NULL");
    assert_eq!(call("bin", &[int(12)]), "1100");
    assert_eq!(try_value(&all(), "unhex", &[text("F4A")]).unwrap(), ScalarValue::Binary(Some(vec![0x0F, 0x4A])));
    assert_eq!(
        try_value(&all(), "encode", &[text("aé"), text("utf-16le")]).unwrap(),
        ScalarValue::Binary(Some(vec![0x61, 0, 0xE9, 0]))
    );
    assert_eq!(call("decode", &[ScalarValue::Binary(Some(vec![0x61, 0xE9])), text("ISO-8859-1")]), "aé");
    assert!(try_eval(&all(), "encode", &[text("a"), text("klingon")]).is_err());
    assert!(try_eval(&all(), "from_base64", &[text("!")]).is_err());
    assert_eq!(of_texts("ascii", &[""]), "0");
    assert_eq!(call("chr", &[int(353)]), "a");
}

#[test]
fn urls_are_taken_apart_as_java_does() {
    let url = "https://me:pw@example.com:81/p/a.html?k1=v1&k2=v2#Ref1";
    for (part, expected) in [
        ("HOST", "example.com"),
        ("PATH", "/p/a.html"),
        ("QUERY", "k1=v1&k2=v2"),
        ("REF", "Ref1"),
        ("PROTOCOL", "https"),
        ("FILE", "/p/a.html?k1=v1&k2=v2"),
        ("AUTHORITY", "me:pw@example.com:81"),
        ("USERINFO", "me:pw"),
        ("host", "NULL"),
    ] {
        assert_eq!(of_texts("parse_url", &[url, part]), expected, "{part}");
    }
    assert_eq!(of_texts("parse_url", &[url, "QUERY", "k2"]), "v2");
    assert_eq!(of_texts("parse_url", &[url, "QUERY", "k3"]), "NULL");
    assert_eq!(of_texts("parse_url", &[url, "HOST", "k1"]), "NULL");
    assert_eq!(of_texts("parse_url", &["no url", "HOST"]), "NULL");
    assert_eq!(of_texts("url_encode", &["a b/é*"]), "a+b%2F%C3%A9*");
    assert_eq!(of_texts("url_decode", &["a+b%2F%C3%A9"]), "a b/é");
    assert_eq!(of_texts("url_decode", &["%2"]), "NULL");
    assert_eq!(of_texts("url_decode_recursive", &["Hello%252520World"]), "Hello World");
    assert_eq!(call("url_decode_recursive", &[text("Hello%252520World"), int(2)]), "Hello%20World");
}

#[test]
fn printf_knows_javas_conversions() {
    assert_eq!(call("printf", &[text("%5d|%-5d|%05d"), int(42), int(42), int(-42)]), "   42|42   |-0042");
    assert_eq!(call("printf", &[text("%x %X %o"), int(255), int(255), int(8)]), "ff FF 10");
    assert_eq!(call("printf", &[text("%.2f %8.3f"), double(0.125), double(-1.0)]), "0.13   -1.000");
    assert_eq!(call("printf", &[text("%e"), double(12345.678)]), "1.234568e+04");
    assert_eq!(call("printf", &[text("%g"), double(123.456)]), "123.456");
    assert_eq!(call("printf", &[text("%s %S %.1s"), text("ab"), text("ab"), text("ab")]), "ab AB a");
    assert_eq!(call("printf", &[text("%2$s%1$s%%"), text("a"), text("b")]), "ba%");
    assert_eq!(call("printf", &[text("%,d"), int(1234567)]), "1,234,567");
    assert_eq!(call("printf", &[text("%s"), double(1e10)]), "1.0E10");
    assert!(try_eval(&all(), "printf", &[text("%d"), text("x")]).is_err());
    assert!(try_eval(&all(), "printf", &[text("%d")]).is_err());
    assert!(try_eval(&all(), "printf", &[text("%y"), int(1)]).is_err());
}

#[test]
fn elt_outside_its_range_is_null() {
    assert_eq!(call("elt", &[int(0), text("a")]), "NULL");
    assert_eq!(call("elt", &[int(3), text("a"), text("b")]), "NULL");
    assert_eq!(call("elt", &[int(1), no_text(), text("b")]), "NULL");
}

#[test]
fn a_uuid_is_new_for_every_row_and_of_version_4() {
    let functions = all();
    let (one, other) = (eval(&functions, "uuid", &[]), eval(&functions, "uuid", &[]));
    assert_ne!(one, other);
    assert_eq!((one.len(), &one[14..15], &one[8..9]), (36, "4", "-"));
}

#[test]
fn wrong_arguments_are_refused_with_the_forms_there_are() {
    let error = try_eval(&all(), "lpad", &[int(7), int(3), text("0")]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "LPAD cannot be called with (INT, INT, STRING)\n  why: LPAD takes (STRING, INT, STRING)\n  fix: convert with \
         CAST(... AS STRING)"
    );
    assert!(try_eval(&all(), "upper", &[]).is_err());
    assert!(try_eval(&all(), "uuid", &[int(1)]).is_err());
}
