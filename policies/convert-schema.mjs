// Writes schema.json, the form that Verified Permissions takes, from schema.cedarschema: in this folder, or in the one that is named.
// Names are resolved to explicit types, because older parsers refuse `EntityOrCommon`.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { schemaToJsonWithResolvedTypes } from "@cedar-policy/cedar-wasm/nodejs";

const folder = process.argv[2] ?? fileURLToPath(new URL(".", import.meta.url));
const answer = schemaToJsonWithResolvedTypes(readFileSync(join(folder, "schema.cedarschema"), "utf8"));
if (answer.type !== "success") {
  console.error(answer.errors.map((error) => error.message).join("\n"));
  process.exit(1);
}
const json = typeof answer.json === "string" ? answer.json : JSON.stringify(answer.json);
const schema = JSON.parse(json.replaceAll(/"type":\s*"Bool"/g, `"type":"Boolean"`));
writeFileSync(process.argv[3] ?? join(folder, "schema.json"), JSON.stringify(schema, null, 1) + "\n");
