#!/usr/bin/env node
import { once } from 'node:events'
import type { Command } from './cli/command.ts'
import { audit } from './commands/audit.ts'
import { allowedIps } from './commands/allowedIps.ts'
import { blastRadius } from './commands/blastRadius.ts'
import { checkpoint } from './commands/checkpoint.ts'
import { doctor } from './commands/doctor.ts'
import { explain } from './commands/explain.ts'
import { exportCommand } from './commands/export.ts'
import { history } from './commands/history.ts'
import { importCommand } from './commands/import.ts'
import { importTokens } from './commands/importTokens.ts'
import { jwt } from './commands/jwt.ts'
import { oauthClient } from './commands/oauthClient.ts'
import { page } from './commands/page.ts'
import { readModel } from './commands/readModel.ts'
import { rebuildCommand } from './commands/rebuild.ts'
import { report } from './commands/report.ts'
import { serveCommand } from './commands/serve.ts'
import { tokensCommand } from './commands/tokens.ts'
import { usage } from './commands/usage.ts'
import { verify } from './commands/verify.ts'
import { webhooks } from './commands/webhooks.ts'
import { dispatch } from './cli/dispatch.ts'

const commands: readonly Command[] = [
  serveCommand,
  jwt,
  page,
  tokensCommand,
  oauthClient,
  history,
  explain,
  usage,
  report,
  allowedIps,
  blastRadius,
  audit,
  verify,
  checkpoint,
  exportCommand,
  importCommand,
  importTokens,
  rebuildCommand,
  readModel,
  webhooks,
  doctor,
]

// A reader may stop reading (`| head`). That is no error, and nobody is there to see a message.
for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error
    process.exit(process.exitCode ?? 0)
  })
}

// process.exit would cut off long output that is still being written.
process.exitCode = await dispatch(process.argv.slice(2), commands, {
  env: process.env,
  out: (text) => process.stdout.write(text),
  async write(text) {
    if (!process.stdout.write(text)) await once(process.stdout, 'drain')
  },
  err: (text) => process.stderr.write(text),
  terminal: process.stderr.isTTY,
  now: Date.now,
})
