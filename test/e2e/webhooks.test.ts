import { spawn } from 'node:child_process'
import { rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'chai'
import { apiOf } from '../support/callers/api.ts'
import { cli } from '../support/processes/cli.ts'
import { freePort } from '../support/processes/ports.ts'
import { endServices, ownFolder, startService } from '../support/processes/service.ts'
import { startWebhookServer, WEBHOOK_SECRET, type WebhookServer } from '../support/processes/webhookServer.ts'
import { blocksOf, textOf } from '../support/project/documents.ts'
import { projectRoot } from '../support/project/package.ts'
import { eventually } from '../support/suite/eventually.ts'
import { sweep } from '../support/suite/sweep.ts'

const WORKERS = 4
/** At least this many tokens are made in each round, however slow the machine is. */
const LEAST_MADE = 20

describe('the receiver in docs/webhooks.md', () => {
  afterEach(endServices)

  it('takes what is signed, prints it, and refuses everything else', async () => {
    const [receiver] = blocksOf(textOf('docs/webhooks.md')).filter(({ info }) => info === 'js')
    const lines = (receiver?.text ?? '').trim().split('\n')
    expect(lines).to.have.lengthOf(10)
    const file = join(projectRoot, `receiver-${process.pid}.mjs`)
    await writeFile(file, receiver?.text ?? '')
    const port = await freePort()
    const child = spawn(process.execPath, [file], {
      env: { PATH: process.env.PATH, WEBHOOK_SECRET, PORT: String(port) },
    })
    try {
      let printed = ''
      child.stdout.on('data', (chunk: Buffer) => (printed += chunk.toString()))
      const url = `http://127.0.0.1:${port}/`
      await eventually(async () =>
        expect((await fetch(url, { method: 'POST', body: '{}' })).status).to.equal(400),
      )
      const service = await startService({ WEBHOOK_URL: url, WEBHOOK_SECRET })
      const { body } = await apiOf(service.url).create({ name: 'x' })
      await eventually(() => expect(printed).to.equal(`token.created ${body.id}\n`))
      expect(await service.stop()).to.equal(0)
    } finally {
      child.kill()
      await rm(file)
    }
  })
})

describe('webhooks of a service', () => {
  let receiver: WebhookServer
  let env: Record<string, string>

  beforeEach(async () => {
    receiver = await startWebhookServer()
    env = { WEBHOOK_URL: receiver.url, WEBHOOK_SECRET, MAX_TOKENS_PER_ACCOUNT: '100000' }
    env.RATE_LIMIT_WRITES_PER_MINUTE = '0'
  })
  afterEach(async () => {
    await endServices()
    await receiver.close()
    expect(receiver.problems).to.deep.equal([])
  })

  const kills = sweep('kills', 8, 3)
  it(`lose nothing to a kill -9 at any moment, keep their ids, and those of one token their order${kills.note}`, async () => {
    const folder = await ownFolder()
    /** Answered changes of each token: a creation, renamings, a revocation. */
    const acknowledged = new Map<string, number>()
    let failing = 0
    receiver.behave = ({ revision }, n) => {
      if (n % 23 === 0) return 'close'
      if (revision === 2 && n % 5 === 0 && failing++ < 3)
        return { status: 429, headers: { 'retry-after': '1' } }
      return 200
    }
    for (let round = 0; round < kills.amount; round++) {
      const service = await startService(env, folder)
      const api = apiOf(service.url)
      let isRunning = true
      const work = Array.from({ length: WORKERS }, async () => {
        while (isRunning) {
          const { status, body } = await api.create({ name: 'x' })
          if (status !== 201) continue
          acknowledged.set(body.id, 1)
          for (const name of ['y', 'z']) {
            const changed = await api.patch(body.id, { name })
            if (changed.status === 200) acknowledged.set(body.id, (acknowledged.get(body.id) ?? 0) + 1)
          }
        }
      })
      const ended = Promise.allSettled(work)
      await eventually(() => expect(acknowledged.size).to.be.greaterThan(round * LEAST_MADE + LEAST_MADE))
      await sleep(round * 130)
      await service.kill()
      isRunning = false
      await ended
    }
    receiver.behave = () => 200
    const service = await startService(env, folder)
    const told = () => {
      const byToken = new Map<string, number[]>()
      for (const { tokenId, revision } of receiver.taken)
        byToken.set(tokenId, [...(byToken.get(tokenId) ?? []), revision])
      return byToken
    }
    await eventually(() => {
      const byToken = told()
      for (const [id, changes] of acknowledged) {
        const revisions = new Set(byToken.get(id))
        for (let revision = 0; revision < changes; revision++) expect(revisions.has(revision)).to.equal(true)
      }
    })
    for (const revisions of told().values()) {
      // Doubles aside, each event comes behind the one before it.
      const first = [...new Set(revisions)]
      expect(first).to.deep.equal(first.toSorted((a, b) => a - b))
    }
    const ids = new Map<string, string>()
    for (const { id, tokenId, revision } of receiver.received) {
      const event = `${tokenId} ${revision}`
      expect(ids.get(event) ?? id, event).to.equal(id)
      ids.set(event, id)
    }
    await eventually(async () => {
      const { stdout } = await cli(['webhooks', '--json'], folder, env)
      expect(JSON.parse(stdout)).to.include({ waiting: 0, given_up: 0 })
    })
    expect(await service.stop()).to.equal(0)
  })

  it('are shown by a command, which sends one to try, and lets them go on after a 410', async () => {
    receiver.behave = () => 410
    const service = await startService(env)
    const { folder, url } = service
    const api = apiOf(url)
    const { body } = await api.create({ name: 'first' })
    const show = async () => JSON.parse((await cli(['webhooks', '--json'], folder, env)).stdout)
    await eventually(async () => expect((await show()).stopped_at).to.be.a('string'))
    await api.create({ name: 'second' })
    const shown = await show()
    expect(shown).to.deep.include({ waiting: 2, given_up: 0 })
    expect(shown.last_failure.reason).to.equal('gone')
    expect(shown.tokens).to.have.lengthOf(1)
    expect(shown.tokens[0]).to.include({ token_id: body.id, waiting: 1, reason: 'gone' })
    const examined = await cli(['doctor'], folder, env)
    expect(examined.code).to.equal(1)
    expect(examined.stdout).to.match(/^FAIL +webhooks +stopped at .*410; 2 events waiting/m)
    const { stdout } = await cli(['webhooks'], folder, env)
    expect(stdout)
      .to.match(/2 events waiting/)
      .and.to.include('webhooks resume')

    const refused = await cli(['webhooks', 'test'], folder, env)
    expect([refused.code, refused.stdout]).to.deep.equal([1, 'Not taken: status 410\n'])
    receiver.behave = () => 200
    const taken = await cli(['webhooks', 'test'], folder, env)
    expect([taken.code, taken.stdout]).to.deep.equal([0, 'Taken: status 200\n'])
    expect(receiver.taken.map(({ type }) => type)).to.deep.equal(['webhook.test'])

    const resumed = await cli(['webhooks', 'resume'], folder, env)
    expect(resumed.code).to.equal(0)
    expect(resumed.stdout).to.include('was asked')
    await eventually(() =>
      expect(receiver.taken.filter(({ type }) => type === 'token.created')).to.have.lengthOf(2),
    )
    await eventually(async () => expect(await show()).to.include({ waiting: 0, stopped_at: null }))
    expect((await cli(['webhooks', 'resume'], folder, env)).stdout).to.equal('Nothing was stopped.\n')
    for (const output of [stdout, JSON.stringify(shown), service.output()])
      expect(output).not.to.include(WEBHOOK_SECRET.slice(6))
    expect(await service.stop()).to.equal(0)
  })

  it('are said to begin with the next start where a service has not had their settings yet', async () => {
    const { folder, stop } = await startService()
    await stop()
    const unset = await cli(['webhooks'], folder)
    expect(unset.code).to.equal(1)
    expect(unset.stderr).to.contain('set WEBHOOK_URL and WEBHOOK_SECRET')
    const set = await cli(['webhooks'], folder, env)
    expect(set.code).to.equal(1)
    expect(set.stderr).to.contain('begin with its next start').and.not.contain('WEBHOOK_URL')
  })

  it('go on after a 410 when the command is run while no service is', async () => {
    receiver.behave = () => 410
    const service = await startService(env)
    await apiOf(service.url).create({ name: 'first' })
    await eventually(() => expect(receiver.received).to.have.lengthOf(1))
    expect(await service.stop()).to.equal(0)
    receiver.behave = () => 200
    const { code, stdout } = await cli(['webhooks', 'resume'], service.folder, env)
    expect([code, stdout]).to.deep.equal([0, 'Webhooks are sent again.\n'])
    await startService(env, service.folder)
    await eventually(() => expect(receiver.taken).to.have.lengthOf(1))
  })

  it('are nothing that a log or a read model has to be checked or moved with', async () => {
    const service = await startService(env)
    const api = apiOf(service.url)
    for (let n = 0; n < 5; n++) await api.create({ name: `n${n}` })
    await eventually(() => expect(receiver.taken).to.have.lengthOf(5))
    expect(await service.stop()).to.equal(0)
    for (const args of [['verify'], ['verify', '--chain'], ['export', '--out', 'log.ndjson']]) {
      const { code, stdout, stderr } = await cli(args, service.folder, env)
      expect(code, args.join(' ') + stdout + stderr).to.equal(0)
    }
  })
})
