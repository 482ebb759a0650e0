// `grpc.testing.TestService` on @grpc/grpc-js, for the clients of the interop cases.
//
//     node js_server.mjs --listen http://127.0.0.1:0

import { setTimeout as sleep } from "node:timers/promises";
import { ECHO_INITIAL, ECHO_TRAILING, TestService, grpc, option, payload } from "./testing_protos.mjs";

const HIDDEN = "grpc-js shows its handlers no message flags, so an uncompressed probe cannot be refused";
const NEVER = "the server of grpc-js compresses no messages";

// Sends back the initial metadata, and gives the trailing ones.
function echoMetadata(call) {
  const [initial, trailing] = [new grpc.Metadata(), new grpc.Metadata()];
  call.metadata.get(ECHO_INITIAL).forEach((value) => initial.add(ECHO_INITIAL, value));
  call.metadata.get(ECHO_TRAILING).forEach((value) => trailing.add(ECHO_TRAILING, value));
  call.sendMetadata(initial);
  return trailing;
}

// The error to end with, if the request asks for one.
function echoStatus({ response_status: status }, metadata) {
  return status?.code ? { code: status.code, details: status.message, metadata } : undefined;
}

function EmptyCall(call, answer) {
  answer(null, {}, echoMetadata(call));
}

function UnaryCall(call, answer) {
  const trailing = echoMetadata(call);
  answer(echoStatus(call.request, trailing), { payload: payload(call.request.response_size) }, trailing);
}

function StreamingInputCall(call, answer) {
  const trailing = echoMetadata(call);
  let bytes = 0;
  call.on("data", (request) => (bytes += request.payload.body.length));
  call.on("end", () => answer(null, { aggregated_payload_size: bytes }, trailing));
}

async function StreamingOutputCall(call) {
  const trailing = echoMetadata(call);
  if (await respond(call, call.request, trailing)) call.end(trailing);
}

async function FullDuplexCall(call) {
  const trailing = echoMetadata(call);
  for await (const request of requests(call)) if (!(await respond(call, request, trailing))) return;
  call.end(trailing);
}

async function HalfDuplexCall(call) {
  const trailing = echoMetadata(call);
  const all = [];
  for await (const request of requests(call)) all.push(request);
  for (const request of all) if (!(await respond(call, request, trailing))) return;
  call.end(trailing);
}

// A handler that fails ends its call, and not the server. The requests of a call that was cancelled fail.
function streaming(handle) {
  return (call) => handle(call).catch((error) => call.cancelled || call.emit("error", error));
}

// To iterate over a call itself would end it with its requests, before it is answered.
function requests(call) {
  return call.iterator({ destroyOnReturn: false });
}

// Sends what the request asks for; says whether the call goes on.
async function respond(call, request, trailing) {
  const error = echoStatus(request, trailing);
  if (error) {
    call.emit("error", error);
    return false;
  }
  for (const { size, interval_us: interval } of request.response_parameters) {
    if (interval) await sleep(interval / 1000);
    call.write({ payload: payload(size) });
  }
  return !call.cancelled;
}

const server = new grpc.Server();
const methods = {
  EmptyCall,
  UnaryCall,
  StreamingInputCall,
  StreamingOutputCall: streaming(StreamingOutputCall),
  FullDuplexCall: streaming(FullDuplexCall),
  HalfDuplexCall: streaming(HalfDuplexCall),
};
server.addService(TestService.service, methods);
const { hostname, host } = new URL(option("listen", "http://127.0.0.1:0"));
const port = await new Promise((bound, failed) => {
  const done = (error, port) => (error ? failed(error) : bound(port));
  server.bindAsync(host, grpc.ServerCredentials.createInsecure(), done);
});
process.on("SIGTERM", () => {
  // Calls that a client left open would hold it for ever.
  const late = setTimeout(() => server.forceShutdown(), 1000);
  server.tryShutdown(() => clearTimeout(late));
});
console.log(`listening http://${hostname}:${port}`);
for (const kind of ["unary", "streaming"]) {
  console.log(`cannot client_compressed_${kind}: ${HIDDEN}`);
  console.log(`cannot server_compressed_${kind}: ${NEVER}`);
}
console.log("ready");
