// `node check.mjs FOLDER`: parses every KQL query below a folder (files *.kql, and blocks ```kusto in *.md) with the
// parser that Log Analytics itself uses. An unknown table, column or function is an error; so is a warning.
// tables.json holds the columns of the tables, from Microsoft's reference of Azure Monitor Logs.
import { readFileSync, readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join, relative } from 'node:path';

const SKIPPED = new Set(['node_modules', '.git', '.venv', '.venv-policy', '.venv-hooks', 'build', 'dist']);

/** Paths of all files below a folder. */
function* files(folder) {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    if (SKIPPED.has(entry.name)) continue;
    const path = join(folder, entry.name);
    if (entry.isDirectory()) yield* files(path);
    else if (entry.isFile()) yield path;
  }
}

/** The queries of one file, each with the number of the line before its first. */
function queries(path) {
  const text = readFileSync(path, 'utf8');
  if (path.endsWith('.kql')) return [{ text, before: 0 }];
  if (!path.endsWith('.md')) return [];
  const blocks = text.matchAll(/^([ \t]*)```kusto[^\n]*\n(.*?)^\1```/gms);
  return [...blocks].map((match) => ({
    text: match[2],
    before: text.slice(0, match.index).split('\n').length,
  }));
}

/** A function that parses one query and returns what is wrong with it, as `[line, message]`. */
function parser() {
  const require = createRequire(import.meta.url);
  // The parser is C# translated to JavaScript: it defines globals, and its constructors are numbered by signature.
  require('@kusto/language-service-next/bridge.min.js');
  require('@kusto/language-service-next/Kusto.Language.Bridge.min.js');
  const { GlobalState, KustoCode, Symbols } = globalThis.Kusto.Language;
  const schemas = JSON.parse(readFileSync(new URL('tables.json', import.meta.url), 'utf8'));
  const tables = Object.entries(schemas).map(
    ([name, columns]) => new Symbols.TableSymbol.$ctor7(name, columns, null),
  );
  const globals = GlobalState.Default.WithDatabase(new Symbols.DatabaseSymbol.ctor('workspace', tables));
  return (query) => {
    const found = KustoCode.ParseAndAnalyze(query, globals).GetDiagnostics();
    return Array.from({ length: found.Count }, (_, index) => {
      const { Message, Start } = found.getItem(index);
      return [query.slice(0, Start).split('\n').length, Message];
    });
  };
}

const root = process.argv[2];
const parse = parser();
let count = 0;
let problems = 0;
for (const path of files(root)) {
  for (const query of queries(path)) {
    count += 1;
    for (const [line, message] of parse(query.text)) {
      problems += 1;
      console.log(`${relative(root, path)}:${query.before + line}: ${message}`);
    }
  }
}
if (count === 0) console.log(`There is no query below ${root}.`);
process.exit(count === 0 || problems > 0 ? 1 : 0);
