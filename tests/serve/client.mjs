// OpenAI's client against a server of ours: node client.mjs BASE_URL < recording.wav.base64
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import OpenAI, { toFile } from "openai";

const recording = readFileSync(0, "utf8").trim();
const client = new OpenAI({ baseURL: process.argv[2], apiKey: "none", maxRetries: 0 });
const model = "demo";
const messages = [{ role: "user", content: "What is two plus three?" }];
const expected = "Two plus three is five.";

const whole = await client.chat.completions.create({ model, messages });
assert.equal(whole.choices[0].message.content, expected);

const stream = client.chat.completions.stream({ model, messages, stream_options: { include_usage: true } });
assert.equal(await stream.finalContent(), expected);
assert.equal((await stream.totalUsage()).completion_tokens, whole.usage.completion_tokens);

let transcript = "";
const sound = [];
const spoken = await client.chat.completions.create({
  model, messages, stream: true, modalities: ["text", "audio"], audio: { voice: "alloy", format: "pcm16" },
});
for await (const chunk of spoken) {
  const audio = chunk.choices[0]?.delta.audio;
  transcript += audio?.transcript ?? "";
  sound.push(audio?.data ?? "");
}
assert.equal(transcript, expected);
assert.ok(Buffer.from(sound.join(""), "base64").length > 48000);

const response = await client.responses.create({ model, input: "What is two plus three?" });
assert.equal(response.output_text, expected);

const file = await client.audio.speech.create({ model, voice: "alloy", input: "Hello.", response_format: "wav" });
assert.equal(Buffer.from(await file.arrayBuffer()).subarray(0, 4).toString(), "RIFF");

const heard = await client.audio.transcriptions.create({
  model, file: await toFile(Buffer.from(recording, "base64"), "question.wav"),
});
assert.equal(heard.text, "what do you see");

const colour = { type: "string", enum: ["red", "blue"] };
const parameters = { type: "object", properties: { colour }, required: ["colour"], additionalProperties: false };
const tools = [{ type: "function", function: { name: "paint", parameters } }];
const called = await client.chat.completions.create({ model, messages, tools, tool_choice: "required" });
assert.equal(called.choices[0].finish_reason, "tool_calls");
const call = called.choices[0].message.tool_calls[0].function;
assert.equal(call.name, "paint");
assert.ok(colour.enum.includes(JSON.parse(call.arguments).colour));

await assert.rejects(client.chat.completions.create({ model, messages, tools }), (error) => {
  assert.ok(error instanceof OpenAI.BadRequestError);
  assert.equal(error.param, "tool_choice");
  assert.ok(error.requestID);
  return true;
});

const controller = new AbortController();
const aborted = await client.chat.completions.create({ model, messages, stream: true }, { signal: controller.signal });
controller.abort();
for await (const _ of aborted);

console.log("all is well");
