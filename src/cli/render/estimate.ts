/** What `backup --dry-run` shows. */
import type { EstimateReport, StoreEstimate } from '../../operation/estimate.ts';
import { partText } from '../part-options.ts';
import { formatBytes, formatCount, painter, plural, printable, table } from './text.ts';

/** Tables that are named; the rest is summed up. */
const SHOWN = 15;

export function estimateDocument({ stores, month }: EstimateReport): object {
  return {
    dryRun: true, month,
    stores: stores.map((one) => ('error' in one ? { ...one, error: { code: one.error.code, message: one.error.message, hint: one.error.hint } } : one)),
  };
}

export function estimateLines({ stores, month }: EstimateReport): readonly string[] {
  const spent = stores.reduce((sum, one) => sum + ('estimate' in one ? (one.estimate?.spent.received ?? 0) : 0), 0);
  return [
    ...stores.flatMap(storeLines),
    ...(spent === 0 ? [] : [`To find this out, ${formatBytes(spent)} were received. In ${month.month} it is ${formatBytes(month.received)} so far, with failed runs.`]),
    'Nothing was backed up.',
  ];
}

function storeLines(one: StoreEstimate): readonly string[] {
  const part = partText(one.part);
  const name = printable(part === undefined ? one.store : `${one.store}, ${part}`);
  if ('error' in one) return [`${name} ${painter(process.stdout)('red', 'failed')}: ${printable(one.error.message)}`, ...(one.error.hint === undefined ? [] : [`  hint: ${one.error.hint}`]), ''];
  if (one.estimate === undefined) return [`${name}: read on this host, nothing goes over a network.`, ''];
  const { items, bytes } = one.estimate;
  const read = items.filter(({ unchanged }) => !unchanged);
  const named = read.slice(0, SHOWN);
  const rest = read.slice(SHOWN);
  const same = items.length - read.length;
  const [head = '', ...rows] = table([{ title: 'would be read' }, { title: 'about', align: 'right' }], [
    ...named.map((item) => [printable(item.subject), formatBytes(item.bytes)]),
    ...(rest.length === 0 ? [] : [[`${formatCount(rest.length)} others`, formatBytes(rest.reduce((sum, item) => sum + item.bytes, 0))]]),
    ['schema and catalogue', formatBytes(bytes - read.reduce((sum, item) => sum + item.bytes, 0))],
  ]);
  return [
    `${painter(process.stdout)('bold', name)}: about ${formatBytes(bytes)} would be received${same === 0 ? '' : `; ${plural(same, 'table')} unchanged`}.`,
    `  ${painter(process.stdout)('dim', head)}`, ...rows.map((row) => `  ${row}`), '',
  ];
}
