//! What is refused, what is said then, and what is written otherwise.

use std::{
    fs,
    path::{Path, PathBuf},
};

use headwater_codegen::{Builder, Error};

/// Compiles one file of this text, in a directory of its own, and gives the code of its package.
fn compile(name: &str, builder: Builder, text: &str) -> Result<String, Error> {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    // What an earlier run has left says nothing about this one.
    let _ = fs::remove_dir_all(&directory);
    fs::create_dir_all(&directory).expect("the directory of tests can be written to");
    let file: PathBuf = directory.join("shop.proto");
    fs::write(&file, format!("syntax = \"proto3\";\n{text}")).expect("a file can be written");
    builder
        .out_dir(&directory)
        .compile(&[&file], &[&directory])?;
    let code = directory.join("shop.rs");
    Ok(fs::read_to_string(code).expect("the code of the package"))
}

/// The lines of the error, which must be one about names.
fn refused(name: &str, builder: Builder, text: &str) -> Vec<String> {
    match compile(
        name,
        builder,
        &format!("package shop;\nmessage M {{}}\n{text}"),
    ) {
        Err(error @ Error::Names(_)) => error.to_string().lines().map(str::to_owned).collect(),
        Err(error) => panic!("refused for another reason: {error}"),
        Ok(_) => panic!("not refused: {text}"),
    }
}

fn method(name: &str) -> String {
    format!("rpc {name}(M) returns (M);")
}

fn service(methods: &[&str]) -> String {
    let methods: String = methods.iter().map(|name| method(name)).collect();
    format!("service Till {{ {methods} }}")
}

/// S5-64: the message names the file, the service, the method and the clash, and says what to do.
#[test]
fn s5_64_reserved_names_are_refused_with_all_that_is_needed_to_find_them() {
    for (rust, what) in [
        (
            "Client",
            "in Rust `client` is the generated client's access to the client below",
        ),
        (
            "Service",
            "in Rust `service` is what generated code calls the service",
        ),
        ("New", "in Rust `new` is the generated client's constructor"),
        ("Clone", "in Rust `clone` is the generated client's copy"),
        ("Match", "`match` is a keyword of Rust"),
        ("Async", "`async` is a keyword of Rust"),
        ("Gen", "`gen` is a keyword of Rust"),
    ] {
        let lines = refused("reserved", Builder::new(), &service(&["Pay", rust]));
        let expected = format!(
            "shop.proto: service shop.Till, method {rust}: {what}; rename it in the .proto, or for Rust alone with \
             Builder::rename(\"shop.Till.{rust}\", …)"
        );
        assert_eq!(lines, [expected]);
    }
}

#[test]
fn s5_64_methods_that_become_one_in_rust_are_refused() {
    for (methods, clash) in [
        (
            ["PayNow", "pay_now"],
            "in Rust `pay_now` is generated for the method PayNow",
        ),
        (
            ["Pay", "PayWith"],
            "in Rust `pay_with` is generated for the method Pay",
        ),
        (
            ["PayStreaming", "Pay"],
            "in Rust `pay_streaming` is generated for the method PayStreaming",
        ),
    ] {
        let lines = refused("one", Builder::new(), &service(&methods));
        assert!(lines[0].contains(clash), "{lines:?} must say: {clash}");
        assert!(
            lines[0].contains(&format!("method {}", methods[1])),
            "{lines:?}"
        );
    }
}

#[test]
fn s5_64_services_whose_types_are_there_already_are_refused() {
    for (text, clash) in [
        (
            "message TillClient {} service Till {}",
            "in Rust `TillClient` is the message TillClient",
        ),
        (
            "enum TillServer { A = 0; } service Till {}",
            "in Rust `TillServer` is the enum TillServer",
        ),
        (
            "service Till {} service TillClient {}",
            "in Rust `TillClient` is generated for the service shop.Till",
        ),
        (
            "message till {} service Till {}",
            "in Rust `Till` is the message till",
        ),
        ("service Self {}", "`Self` is a keyword of Rust"),
        ("service _ {}", "`` is no name in Rust"),
    ] {
        let lines = refused("types", Builder::new(), text);
        assert!(lines[0].contains(clash), "{lines:?} must say: {clash}");
    }
}

#[test]
fn all_clashes_are_told_at_once() {
    let lines = refused("all", Builder::new(), &service(&["New", "Type", "Pay"]));
    assert_eq!(lines.len(), 2, "{lines:?}");
}

#[test]
fn s5_64_pw_rpc_names_are_a_matter_of_choice() {
    let text = "service TillService {}";
    let lines = refused("pw", Builder::new().pw_rpc_names(true), text);
    assert!(
        lines[0].contains("service shop.TillService: pw_rpc's services have no `Service`"),
        "{lines:?}"
    );
    compile("no_pw", Builder::new(), &format!("package shop;\n{text}"))
        .expect("gRPC has such names");
}

#[test]
fn a_new_name_settles_a_clash_and_must_be_of_something() {
    let text = format!(
        "package shop;\nmessage M {{}}\nmessage Till2Client {{}}\n{}",
        service(&["New"])
    );
    let builder = || Builder::new().rename("shop.Till.New", "create");
    let code = compile("renamed", builder(), &text).expect("a method with another name");
    assert!(
        code.contains("pub async fn create("),
        "the function has the name"
    );
    assert!(
        code.contains("\"/shop.Till/New\""),
        "the path has the old one"
    );
    let code = compile("renamed", builder().rename("shop.Till", "Register"), &text);
    assert!(
        code.expect("a service with another name")
            .contains("pub trait Register")
    );
    let error = compile("renamed", builder().rename("shop.Till.Old", "gone"), &text).unwrap_err();
    assert_eq!(
        error.to_string(),
        "there is no service or method shop.Till.Old to be renamed"
    );
}

#[test]
fn a_wrong_proto_is_told_with_its_place() {
    let error = compile(
        "wrong",
        Builder::new(),
        "package shop;\nservice Till { rpc Pay(Nothing) returns (M); }",
    );
    let error = error.unwrap_err();
    assert!(matches!(error, Error::Proto(_)));
    let text = format!("{error:?}");
    assert!(
        text.contains("shop.proto") && text.contains("Nothing"),
        "{text}"
    );
}

#[test]
fn only_what_is_wanted_is_generated() {
    let text = format!("package shop;\nmessage M {{}}\n{}", service(&["Pay"]));
    let code = compile("client", Builder::new().server(false), &text).expect("a client alone");
    assert!(code.contains("TillClient") && !code.contains("trait Till"));
    let code = compile("server", Builder::new().client(false), &text).expect("a service alone");
    assert!(!code.contains("TillClient") && code.contains("trait Till"));
    let taken = format!("{text}\nmessage TillClient {{}}");
    compile("server", Builder::new().client(false), &taken).expect("the client's name is free");
}

#[test]
fn comments_and_deprecation_are_carried_over() {
    let text = "package shop;\nmessage M {}\n// Takes money.\nservice Till {\n  // Pays [now].\n  rpc Pay(M) returns (M) \
                { option deprecated = true; }\n  rpc Bare(M) returns (M);\n}";
    let code = compile("comments", Builder::new(), text).expect("a service");
    assert_eq!(
        code.matches("/// Takes money.").count(),
        2,
        "on the client and on the trait"
    );
    assert_eq!(
        code.matches("/// Pays \\[now\\].").count(),
        2,
        "on both methods"
    );
    assert_eq!(
        code.matches("#[deprecated]").count(),
        6,
        "on three functions of each"
    );
    assert_eq!(
        code.matches("/// `/shop.Till/Bare`.").count(),
        2,
        "something is said of every method"
    );
}
