// The published gRPC interop cases, by a client on @grpc/grpc-js.
//
//     node js_client.mjs --run large_unary,ping_pong http://127.0.0.1:10000

import { Cannot, equal, main } from "./report.mjs";
import { ECHO_INITIAL, ECHO_TRAILING, TestService, UnimplementedService, grpc, payload } from "./testing_protos.mjs";

const PATIENCE_MS = 20_000;
const SOAK_ITERATIONS = 10;
const REQUEST_SIZES = [27182, 8, 1828, 45904];
const RESPONSE_SIZES = [31415, 9, 2653, 58979];
const FLAGS_HIDDEN = "grpc-js shows no message flags; the sizes of the answers are right";
// What grpc-js calls `WriteFlags.NoCompress`, and does not export.
const NO_COMPRESS = 2;
const GZIP = { "grpc.default_compression_algorithm": grpc.compressionAlgorithms.gzip };

const deadline = (milliseconds = PATIENCE_MS) => ({ deadline: Date.now() + milliseconds });
const flag = (value) => ({ value });
const largeRequest = (fields = {}) => ({ response_size: 314159, payload: payload(271828), ...fields });
const duplex = (size, sent) => ({ response_parameters: [{ size }], payload: payload(sent) });
const text = (values) => values.map(String);

function channel(url, options = {}, Stub = TestService) {
  const { host } = new URL(url);
  return new Stub(host, grpc.credentials.createInsecure(), { "grpc.use_local_subchannel_pool": 1, ...options });
}

// A case that runs on the stub of one channel.
function connected(run, options, Stub) {
  return async (url) => {
    const stub = channel(url, options, Stub);
    try {
      await run(stub);
    } finally {
      stub.close();
    }
  };
}

// A call of one answer: what came of it.
function unary(stub, method, request, { metadata = new grpc.Metadata(), options = deadline() } = {}) {
  const outcome = {};
  return new Promise((done) => {
    const ended = (error, answer) => Object.assign(outcome, { error, answer });
    const call = stub[method](request, metadata, options, ended);
    call.on("metadata", (initial) => (outcome.initial = initial));
    call.on("status", ({ metadata: trailing }) => done(Object.assign(outcome, { trailing })));
  });
}

// What a call of many answers brought, once it is over. `each` sees every answer when it comes.
function stream(call, each = () => {}) {
  const outcome = { sizes: [] };
  return new Promise((done) => {
    call.on("metadata", (initial) => (outcome.initial = initial));
    call.on("data", (answer) => {
      outcome.sizes.push(answer.payload.body.length);
      each(outcome.sizes.length);
    });
    call.on("error", (error) => (outcome.error = error));
    call.on("status", ({ code, details, metadata }) => done(Object.assign(outcome, { code, details, trailing: metadata })));
  });
}

async function large(stub, request = largeRequest(), options) {
  const { error, answer } = await unary(stub, "UnaryCall", request, { options });
  if (error) throw error;
  equal(answer.payload.body, Buffer.alloc(314159), "body of the answer");
}

async function fails(call, code, message) {
  const { error } = await call;
  equal(error?.code, code, "status");
  if (message !== undefined) equal(error.details, message, "message of the status");
}

async function empty_unary(stub) {
  const { error, answer } = await unary(stub, "EmptyCall", {});
  if (error) throw error;
  equal(answer, {}, "answer");
}

async function sendStream(stub, requests, options = deadline()) {
  return new Promise((done) => {
    const call = stub.StreamingInputCall(options, (error, answer) => done({ error, answer }));
    requests.forEach((request) => call.write(request));
    call.end();
  });
}

async function client_streaming(stub) {
  const requests = REQUEST_SIZES.map((size) => ({ payload: payload(size) }));
  const { error, answer } = await sendStream(stub, requests);
  if (error) throw error;
  equal(answer.aggregated_payload_size, 74922, "aggregated payload size");
}

async function server_streaming(stub) {
  const request = { response_parameters: RESPONSE_SIZES.map((size) => ({ size })) };
  const { code, sizes } = await stream(stub.StreamingOutputCall(request, deadline()));
  equal([code, sizes], [0, RESPONSE_SIZES], "status and sizes");
}

async function ping_pong(stub) {
  const call = stub.FullDuplexCall(deadline());
  const next = (at) => (at < 4 ? call.write(duplex(RESPONSE_SIZES[at], REQUEST_SIZES[at])) : call.end());
  const ended = stream(call, next);
  next(0);
  const { code, sizes } = await ended;
  equal([code, sizes], [0, RESPONSE_SIZES], "status and sizes");
}

async function empty_stream(stub) {
  const call = stub.FullDuplexCall(deadline());
  call.end();
  const { code, sizes } = await stream(call);
  equal([code, sizes], [0, []], "status and sizes");
}

async function custom_metadata(stub) {
  const metadata = new grpc.Metadata();
  metadata.set(ECHO_INITIAL, "test_initial_metadata_value");
  metadata.set(ECHO_TRAILING, Buffer.from("ababab", "hex"));
  const call = stub.FullDuplexCall(metadata, deadline());
  call.write(duplex(314159, 271828));
  call.end();
  const outcomes = [stream(call), unary(stub, "UnaryCall", largeRequest(), { metadata })];
  for (const outcome of await Promise.all(outcomes)) {
    if (outcome.error) throw outcome.error;
    equal(text(outcome.initial.get(ECHO_INITIAL)), ["test_initial_metadata_value"], "initial metadata");
    equal(outcome.trailing.get(ECHO_TRAILING), metadata.get(ECHO_TRAILING), "trailing metadata");
  }
}

async function status_code_and_message(stub) {
  const response_status = { code: 2, message: "test status message" };
  await fails(unary(stub, "UnaryCall", { response_status }), 2, response_status.message);
  const call = stub.FullDuplexCall(deadline());
  call.write({ response_status });
  call.end();
  await fails(stream(call), 2, response_status.message);
}

async function special_status_message(stub) {
  const message = "\t\ntest with whitespace\r\nand Unicode BMP \u263a and non-BMP \u{1f608}\t\n";
  await fails(unary(stub, "UnaryCall", { response_status: { code: 2, message } }), 2, message);
}

async function unimplemented(stub) {
  await fails(unary(stub, "UnimplementedCall", {}), grpc.status.UNIMPLEMENTED);
}

async function cancel_after_begin(stub) {
  await new Promise((done, wrong) => {
    const call = stub.StreamingInputCall(deadline(), (error) => {
      fails({ error }, grpc.status.CANCELLED).then(done, wrong);
    });
    call.cancel();
  });
}

async function cancel_after_first_response(stub) {
  const call = stub.FullDuplexCall(deadline());
  const ended = stream(call, () => call.cancel());
  call.write(duplex(31415, 27182));
  const { code, sizes } = await ended;
  equal([code, sizes], [grpc.status.CANCELLED, [31415]], "status and sizes");
}

async function timeout_on_sleeping_server(stub) {
  const call = stub.FullDuplexCall(deadline(1));
  call.write({ payload: payload(27182) });
  await fails(stream(call), grpc.status.DEADLINE_EXCEEDED);
}

// A call whose messages have these flags, in order. A stream of a newer Node lets no flags through to grpc-js.
class Flagged extends grpc.InterceptingCall {
  constructor(call, flags) {
    super(call);
    this.flags = [...flags];
  }

  sendMessageWithContext(context, message) {
    super.sendMessageWithContext({ ...context, flags: this.flags.shift() }, message);
  }
}

function flagged(...flags) {
  return { ...deadline(), interceptors: [(options, next) => new Flagged(next(options), flags)] };
}

async function client_compressed_unary(stub) {
  const probe = unary(stub, "UnaryCall", largeRequest({ expect_compressed: flag(true) }), { options: flagged(NO_COMPRESS) });
  await fails(probe, grpc.status.INVALID_ARGUMENT);
  await client_compressed_unary_noprobe(stub);
}

async function client_compressed_unary_noprobe(stub) {
  await large(stub, largeRequest({ expect_compressed: flag(true) }));
  await large(stub, largeRequest({ expect_compressed: flag(false) }), flagged(NO_COMPRESS));
}

async function server_compressed_unary(stub) {
  await large(stub, largeRequest({ response_compressed: flag(true) }));
  await large(stub, largeRequest({ response_compressed: flag(false) }));
  throw new Cannot(FLAGS_HIDDEN);
}

async function client_compressed_streaming(stub) {
  const probe = { expect_compressed: flag(true), payload: payload(27182) };
  await fails(sendStream(stub, [probe], flagged(NO_COMPRESS)), grpc.status.INVALID_ARGUMENT);
  await client_compressed_streaming_noprobe(stub);
}

async function client_compressed_streaming_noprobe(stub) {
  const compressed = { expect_compressed: flag(true), payload: payload(27182) };
  const plain = { expect_compressed: flag(false), payload: payload(45904) };
  const { error, answer } = await sendStream(stub, [compressed, plain], flagged(0, NO_COMPRESS));
  if (error) throw error;
  equal(answer.aggregated_payload_size, 73086, "aggregated payload size");
}

async function server_compressed_streaming(stub) {
  const response_parameters = [
    { size: 31415, compressed: flag(true) },
    { size: 92653, compressed: flag(false) },
  ];
  const { code, sizes } = await stream(stub.StreamingOutputCall({ response_parameters }, deadline()));
  equal([code, sizes], [0, [31415, 92653]], "status and sizes");
  throw new Cannot(FLAGS_HIDDEN);
}

async function rpc_soak(stub) {
  for (let done = 0; done < SOAK_ITERATIONS; done += 1) await large(stub);
}

async function channel_soak(url) {
  for (let done = 0; done < SOAK_ITERATIONS; done += 1) await connected(large)(url);
}

await main({
  empty_unary: connected(empty_unary),
  large_unary: connected((stub) => large(stub)),
  client_streaming: connected(client_streaming),
  server_streaming: connected(server_streaming),
  ping_pong: connected(ping_pong),
  empty_stream: connected(empty_stream),
  custom_metadata: connected(custom_metadata),
  status_code_and_message: connected(status_code_and_message),
  special_status_message: connected(special_status_message),
  unimplemented_method: connected(unimplemented),
  unimplemented_service: connected(unimplemented, {}, UnimplementedService),
  cancel_after_begin: connected(cancel_after_begin),
  cancel_after_first_response: connected(cancel_after_first_response),
  timeout_on_sleeping_server: connected(timeout_on_sleeping_server),
  client_compressed_unary: connected(client_compressed_unary, GZIP),
  client_compressed_unary_noprobe: connected(client_compressed_unary_noprobe, GZIP),
  server_compressed_unary: connected(server_compressed_unary),
  client_compressed_streaming: connected(client_compressed_streaming, GZIP),
  client_compressed_streaming_noprobe: connected(client_compressed_streaming_noprobe, GZIP),
  server_compressed_streaming: connected(server_compressed_streaming),
  rpc_soak: connected(rpc_soak),
  channel_soak,
});
