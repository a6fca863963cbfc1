/** How our sessions are set: so that the text of a value is the same everywhere, and nothing times out or hides. */
import type { Connection } from '../../client/postgres/connection.ts';

const READING = {
  timezone: 'UTC', datestyle: 'ISO, YMD', intervalstyle: 'postgres', extra_float_digits: '3', bytea_output: 'hex', lc_monetary: 'C',
  client_encoding: 'UTF8', standard_conforming_strings: 'on', search_path: '', quote_all_identifiers: 'off', xmloption: 'content',
  // A scan that joins another in the middle would change the order of rows, and with it what deduplication finds.
  synchronize_seqscans: 'off',
  // Rows that a policy hides must be an error and not a gap.
  row_security: 'off',
  statement_timeout: '0', lock_timeout: '0', idle_in_transaction_session_timeout: '0', transaction_timeout: '0', idle_session_timeout: '0',
};

const WRITING = { ...READING, synchronous_commit: 'off', maintenance_work_mem: '256MB', check_function_bodies: 'off' };

/** Settings that this server does not have are passed over. */
async function set(connection: Connection, settings: Readonly<Record<string, string>>): Promise<void> {
  const values = Object.entries(settings).map(([name, value]) => `('${name}', '${value}')`).join(', ');
  await connection.query(
    `SELECT pg_catalog.set_config(v.name, v.value, false) FROM (VALUES ${values}) v(name, value)
     WHERE EXISTS (SELECT FROM pg_catalog.pg_settings s WHERE pg_catalog.lower(s.name) = v.name)`,
    'setting up the session',
  );
}

export async function prepareReading(connection: Connection): Promise<void> {
  await set(connection, READING);
}

export async function prepareWriting(connection: Connection): Promise<void> {
  await set(connection, WRITING);
}
