import { createHash, randomBytes } from 'node:crypto'
import { isClientId } from '../../src/settings/oauthClients.ts'
import { defineCommand, JSON_OPTION, WrongUse } from '../cli/command.ts'
import { json } from '../cli/output.ts'

export const oauthClient = defineCommand({
  name: 'oauth-client',
  summary: 'Make the secret of an OAuth client, which may introspect and revoke tokens.',
  usage: '<id> [--json]',
  help: 'Prints the secret, which is shown once, and the member to add to the JSON object in OAUTH_CLIENTS_FILE. The service\nreads that file when it starts. An id that is there already gets a new secret.',
  args: ['<id>'],
  options: { json: JSON_OPTION },
  async run({ values, args }, io) {
    const [id = ''] = args
    if (!isClientId(id)) {
      throw new WrongUse('<id> must be 1 to 64 of the characters A-Z, a-z, 0-9, ".", "_" and "-".')
    }
    const secret = randomBytes(32).toString('base64url')
    const hash = createHash('sha256').update(secret).digest('hex')
    io.out(
      values.json
        ? json({ id, secret, sha256: hash })
        : `The secret of the client, for its own settings:\n${secret}\n\nThe member for OAUTH_CLIENTS_FILE:\n"${id}": "${hash}"\n`,
    )
    return 0
  },
})
