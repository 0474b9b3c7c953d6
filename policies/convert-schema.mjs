// Writes schema.json (or the file that is named), the form that Verified Permissions takes, from schema.cedarschema.
// Names are resolved to explicit types, because older parsers refuse `EntityOrCommon`.
import { readFileSync, writeFileSync } from "node:fs";
import { schemaToJsonWithResolvedTypes } from "@cedar-policy/cedar-wasm/nodejs";

const here = new URL(".", import.meta.url);
const answer = schemaToJsonWithResolvedTypes(readFileSync(new URL("schema.cedarschema", here), "utf8"));
if (answer.type !== "success") {
  console.error(answer.errors.map((error) => error.message).join("\n"));
  process.exit(1);
}
const json = typeof answer.json === "string" ? answer.json : JSON.stringify(answer.json);
const schema = JSON.parse(json.replaceAll(/"type":\s*"Bool"/g, `"type":"Boolean"`));
writeFileSync(process.argv[2] ?? new URL("schema.json", here), JSON.stringify(schema, null, 1) + "\n");
