import type { TokenDocument } from '../../projections/tokens.ts'
import { allowedIpsErrors, MAX_ALLOWED_IPS } from '../../src/domain/rules.ts'
import { presentCallerCheck } from '../../src/presentation/analytics.ts'
import { defineCommand, JSON_OPTION, NotFound, tokenIdFrom, WrongUse } from '../cli/command.ts'
import { json, plural, progress, table } from '../cli/output.ts'
import { withReadModel } from '../cli/stores.ts'
import { storedSettings } from '../cli/storedSettings.ts'

export const allowedIps = defineCommand({
  name: 'allowed-ips',
  summary: 'Which callers of a token would be shut out if it were bound to addresses.',
  usage: '<token-id> --check <addresses> [--json]',
  help:
    'From the read model: what was recorded in the last 30 days. It changes nothing. Ends with 1 where a caller would be\n' +
    'refused. Requests without an address, and from addresses that were not kept by name, are counted as `unknown`.',
  args: ['<token-id>'],
  options: {
    check: {
      type: 'string',
      value: '<addresses>',
      help: 'Addresses and CIDR blocks, separated by commas: 192.0.2.7,2001:db8::/32. Required.',
    },
    json: JSON_OPTION,
  },
  async run({ values, args }, io) {
    const settings = storedSettings(io)
    const tokenId = tokenIdFrom(args[0] ?? '', '<token-id>')
    if (values.check === undefined) throw new WrongUse('--check is missing: it names the addresses.')
    const allowed = values.check.split(/[\s,]+/).filter((text) => text !== '')
    if (allowed.length < 1 || allowed.length > MAX_ALLOWED_IPS)
      throw new WrongUse(`--check must have 1 to ${MAX_ALLOWED_IPS} addresses or CIDR blocks.`)
    const [wrong] = allowedIpsErrors(allowed)
    if (wrong) throw new WrongUse(`--check: address ${Number(wrong.path[1]) + 1} ${wrong.message}.`)
    const bar = progress(io, 1)
    const found = await withReadModel(settings, io.now, async ({ queries, readModel }) => {
      const token = await readModel.get('tokens', tokenId)
      if (!token) throw new NotFound('There is no such token.')
      bar.step('reading', 'hour')
      return queries.checkCallers(token as unknown as TokenDocument, allowed, {
        onProgress: (read) => bar.at(null, read),
      })
    }).finally(bar.done)
    const shown = presentCallerCheck(found)
    io.out(values.json ? json(shown) : asText(shown))
    return shown.refused.length > 0 ? 1 : 0
  },
})

function asText({ refused, more_refused, accepted, unknown }: ReturnType<typeof presentCallerCheck>): string {
  const rows = refused.map(({ ip, requests, last_at }) => [requests, last_at, ip])
  const more = more_refused
    ? `and ${plural(more_refused.callers, 'caller')} with ${plural(more_refused.requests, 'request')}\n`
    : ''
  return (
    (rows.length === 0 ? 'No caller would be refused.\n' : table(['requests', 'last', 'refused'], rows)) +
    more +
    `Accepted: ${plural(accepted, 'request')}. From an unknown address, or without any: ${plural(unknown, 'request')}.\n`
  )
}
