/** The schema of a database as one text for people and for version control: the same schema gives the same text, and no secret is in it. Pure. */
import { splitStatements } from '../../../client/postgres/sql-statements.ts';

/** What pg_dump says of itself and of the server: it changes with every minor release, and the schema has not. */
const CHANGING = /^--\n-- PostgreSQL database dump(?: complete)?\n--\n|^-- (?:Dumped (?:from|by)|Started on|Completed on|TOC entry) .*\n/gm;

/** Statements that may carry passwords: of other servers, as options and in connection strings. */
const CARRIES = /^(?:CREATE|ALTER) (?:USER MAPPING|SERVER|SUBSCRIPTION|FOREIGN DATA WRAPPER|FOREIGN TABLE)\b/;
const SECRET_OPTION = /(\b\w*(?:password|passwd|secret|token|api_?key|access_?key)\w*\s+)'(?:[^']|'')*'/gi;
const SECRET_IN_STRING = /(\b\w*password\s*=\s*)(?:''(?:[^']|'''')*?''|[^\s']+)/gi;

/** `preData` and `postData` as they lie in the snapshot. */
export function schemaText(preData: string, postData: string): string {
  const pieces = splitStatements(`${preData}\n${postData}`).filter(({ meta }) => !meta);
  const text = pieces.map(({ text: whole, code }) => {
    if (code === '') return steady(whole);
    const at = whole.lastIndexOf(code);
    return steady(whole.slice(0, at)) + (CARRIES.test(code) ? withoutSecrets(code) : code) + whole.slice(at + code.length);
  });
  return `${text.join('').trim()}\n`;
}

/** What stands between statements. */
function steady(between: string): string {
  return between.replaceAll(CHANGING, '').replaceAll(/\n{4,}/g, '\n\n\n');
}

function withoutSecrets(statement: string): string {
  return statement.replaceAll(SECRET_OPTION, "$1'**redacted**'").replaceAll(SECRET_IN_STRING, '$1**redacted**');
}
