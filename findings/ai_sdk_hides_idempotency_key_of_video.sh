#!/usr/bin/env bash
# ai 7.0.173 with @ai-sdk/alibaba 2.0.58 (npm): a video's submit has an Idempotency-Key that its error does not tell.
#
# After a 500, `experimental_generateVideo` sends the submit three times, with one key that it has made up. The error
# then raised does not tell this key. The same call made again, which is what a caller does after an error, has another
# key: a server that honours the key sees two videos. A key in the caller's own `headers` is used instead, in each
# call. The server on loopback answers each submit with a 500. Needs npm; Node 22 is installed beside it.
#
# Seen:
#   first call: AI_RetryError after 3 submits, 1 key; told by the error: false
#   same call again: AI_RetryError after 3 submits, 1 key; told by the error: false; the key of the first: false
#   both calls with a key of the caller: 6 submits, 1 key
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
npm install --silent --no-fund --no-audit --prefix "$work" ai@7.0.173 @ai-sdk/alibaba@2.0.58 node@22.23.3

cat >"$work/program.mjs" <<'EOF'
import { createServer } from "node:http";
import { inspect } from "node:util";

import { createAlibaba } from "@ai-sdk/alibaba";
import { experimental_generateVideo } from "ai";

const submits = [];
const server = createServer((request, response) => {
  let body = "";
  request.on("data", (part) => (body += part));
  request.on("end", () => {
    submits.push({ prompt: JSON.parse(body).input.prompt, key: request.headers["idempotency-key"] });
    response.writeHead(500, { "Content-Type": "application/json" });
    response.end(JSON.stringify({ code: "InternalError", message: "Internal server error" }));
  });
});
await new Promise((ready) => server.listen(0, "127.0.0.1", ready));
const alibaba = createAlibaba({ apiKey: "sk-test", videoBaseURL: `http://127.0.0.1:${server.address().port}` });

async function make(text, headers) {
  const before = submits.length;
  try {
    await experimental_generateVideo({
      model: alibaba.video("wan2.6-i2v"),
      prompt: { image: "https://example.com/cat.jpg", text },
      headers,
    });
    return { name: "no error", sent: submits.slice(before), error: undefined };
  } catch (error) {
    return { name: error.name, sent: submits.slice(before), error };
  }
}

const keysOf = (sent) => [...new Set(sent.map(({ key }) => key))];
const told = ({ error, sent }) => inspect(error, { depth: null, showHidden: true }).includes(sent[0].key);
const count = (keys) => `${keys.length} key${keys.length === 1 ? "" : "s"}`;
const describe = (call) =>
  `${call.name} after ${call.sent.length} submits, ${count(keysOf(call.sent))}; told by the error: ${told(call)}`;

const first = await make("The cat blinks");
console.log(`first call: ${describe(first)}`);
const second = await make("The cat blinks");
const same = first.sent[0].key === second.sent[0].key;
console.log(`same call again: ${describe(second)}; the key of the first: ${same}`);
const own = [await make("x", { "Idempotency-Key": "mine" }), await make("x", { "Idempotency-Key": "mine" })];
const ownSent = own.flatMap(({ sent }) => sent);
console.log(`both calls with a key of the caller: ${ownSent.length} submits, ${count(keysOf(ownSent))}`);
server.close();

const asSeen = (call) =>
  call.name === "AI_RetryError" && call.sent.length === 3 && keysOf(call.sent).length === 1 && !told(call);
if (!asSeen(first) || !asSeen(second) || same || !first.sent[0].key || keysOf(ownSent).join() !== "mine") {
  console.error("The behaviour changed: each call should submit three times with one key, which the error hides.");
  process.exit(1);
}
EOF
cd "$work"
NO_PROXY='*' node_modules/.bin/node program.mjs
