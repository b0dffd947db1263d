import { randomUUID } from 'node:crypto'
import { isAccountId } from '../../src/domain/rules.ts'
import type { PortalRight } from '../../src/domain/portal.ts'
import { developmentLink } from '../../src/settings/developmentLink.ts'
import { keysOf } from '../../src/settings/devSecrets.ts'
import { readSettings, type Settings } from '../../src/settings/settings.ts'
import { defineCommand, JSON_OPTION, WrongUse } from '../cli/command.ts'
import { json } from '../cli/output.ts'
import { assertStored } from '../cli/storedSettings.ts'

const DEFAULT_ACCOUNT = 'acct_1'

export const page = defineCommand({
  name: 'page',
  summary: 'Make a link that opens the page in a browser, for development.',
  usage: '[--account <id>] [--read-only] [--operate] [--json]',
  help: 'The link works once, for 15 minutes, at the service that runs with the same settings. Not in production: there your\nbackend asks for links at /settings/portal-sessions.',
  args: [],
  options: {
    account: { type: 'string', value: '<id>', help: `Account that it shows. Default: ${DEFAULT_ACCOUNT}.` },
    'read-only': { type: 'boolean', help: 'Nothing can be changed.' },
    operate: { type: 'boolean', help: 'Shows the tokens of all accounts as well.' },
    json: JSON_OPTION,
  },
  async run({ values }, io) {
    const settings = readSettings(io.env)
    if (settings.production)
      throw new WrongUse('Not in production: there your backend asks for links at /settings/portal-sessions.')
    if (!settings.peppers) assertStored(settings)
    const accountId = values.account ?? DEFAULT_ACCOUNT
    if (!isAccountId(accountId))
      throw new WrongUse(
        '--account must be 1 to 255 characters, without control characters, and without spaces at its ends.',
      )
    const can: PortalRight[] = ['read']
    if (!values['read-only']) can.push('write')
    if (values.operate) can.push('operate')
    const { peppers } = keysOf(settings)
    const who = { id: randomUUID(), accountId, can, now: io.now() }
    const url = developmentLink(`${urlOf(settings)}/tokens`, peppers, who)
    io.out(values.json ? json({ url, account_id: accountId, can }) : `${url}\n`)
    return 0
  },
})

/** Where the service with these settings listens. */
function urlOf({ publicUrl, host, port }: Settings): string {
  if (publicUrl !== null) return publicUrl
  const isAny = host === '0.0.0.0' || host === '::'
  return `http://${isAny ? '127.0.0.1' : host.includes(':') ? `[${host}]` : host}:${port}`
}
