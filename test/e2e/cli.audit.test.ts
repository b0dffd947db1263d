import { generateKeyPairSync, randomUUID } from 'node:crypto'
import { readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect } from 'chai'
import { hintOf } from '../../src/domain/credential.ts'
import type { Checkpoint } from '../../src/application/audit/checkpoint.ts'
import { apiOf, type CreatedToken, type HistoryRow } from '../support/callers/api.ts'
import { codeOf, exchange } from '../support/callers/portal.ts'
import { cli } from '../support/processes/cli.ts'
import { eventually } from '../support/suite/eventually.ts'
import { PEPPERS, SECRET } from '../support/processes/ledger.ts'
import { endServices, type Environment, ownFolder, startService } from '../support/processes/service.ts'
import { startStandInProcess, type StandInProcess } from '../support/standIn/process.ts'

interface Explained {
  decision: { outcome: string; status: string; revision: number }
  token: { name: string }
  events: unknown[]
  uses: { place: string; requests: number; token_revision: number; first_at: string; verdict: object }[]
}
interface Audited {
  ok: boolean
  uses: number
  revoked_tokens: number
  found: { kind: string; token_id: string; late_ms: number }[]
}
interface Verified {
  ok: boolean
  events: number
  damaged: { stream: string | null; revision: number | null }[]
  checkpoint: { found: string[] } | null
}

type TimedRow = HistoryRow & { at: string }

for (const kind of ['SQLite', 'EventStoreDB']) {
  describe(`tokenledger, for an auditor of a log in ${kind}`, () => {
    let standIn: StandInProcess | undefined
    let folder: string
    let url: string
    let stores: Environment
    let kept: CreatedToken
    let gone: CreatedToken
    let history: TimedRow[]
    let checkpointFile: string
    const outputs: string[] = []

    async function run(args: readonly string[], env: Environment = {}) {
      const result = await cli(args, folder, { ...stores, ...env })
      outputs.push(result.stdout, result.stderr)
      return result
    }

    async function runJson<T>(args: readonly string[], code = 0): Promise<T> {
      const result = await run([...args, '--json'])
      expect(result.code, result.stderr).to.equal(code)
      return JSON.parse(result.stdout) as T
    }

    before(async () => {
      folder = await ownFolder()
      if (kind === 'EventStoreDB') {
        standIn = await startStandInProcess()
        stores = { EVENT_STORE_URL: `esdb://127.0.0.1:${standIn.port}?tls=false` }
      } else {
        stores = {}
      }
      ;({ url } = await startService({ USAGE_FLUSH_MS: '20', ...stores }, folder))
      const api = apiOf(url)
      kept = (await api.create({ name: 'CI' })).body
      gone = (await api.create({ name: 'gone' })).body
      for (const { token } of [kept, gone, kept]) expect(await api.use(token)).to.equal(200)
      await eventually(async () => {
        expect((await api.usage(kept.id)).body.total.requests).to.equal(2)
        expect((await api.usage(gone.id)).body.total.requests).to.equal(1)
      })
      await api.patch(kept.id, { name: 'CI deploy' })
      await api.revoke(gone.id)
      expect(await api.use(gone.token)).to.equal(401)
      history = (await api.events(gone.id)).body.data as TimedRow[]
      checkpointFile = join(folder, 'checkpoint.json')
    })

    after(async () => {
      await endServices()
      await standIn?.kill()
    })

    const revokedAt = (): string => history[1]?.at ?? ''

    it('tells over HTTP what the token was', async () => {
      const { body } = await apiOf(url).call('GET', `/settings/api-tokens/${gone.id}?at=${history[0]?.at}`)
      expect(body).to.include({ status: 'active', revision: 0, revoked_at: null })
    })

    it('explains why a token was accepted, and why it is refused since', async () => {
      const first = await runJson<Explained>(['explain', gone.id, history[0]?.at ?? ''])
      expect(first.decision).to.deep.equal({
        outcome: 'accepted',
        status: 'active',
        revision: 0,
        secrets: [{ hint: hintOf('tkl', gone.token), until: null }],
        allowed_ips: null,
      })
      expect(first.events).to.have.lengthOf(1)
      const [use] = first.uses
      expect(use).to.deep.include({
        place: 'after',
        requests: 1,
        token_revision: 0,
        verdict: { kind: 'current' },
      })
      const during = await runJson<Explained>(['explain', gone.id, use?.first_at ?? ''])
      expect(during.uses.map(({ place }) => place)).to.deep.equal(['during'])
      const later = await runJson<Explained>(['explain', gone.id, revokedAt()])
      expect(later.decision).to.deep.equal({
        outcome: 'refused',
        status: 'revoked',
        revision: 1,
        secrets: [],
        allowed_ips: null,
      })
      expect(later.uses.map(({ place }) => place)).to.deep.equal(['before'])
      const { code, stdout } = await run(['explain', gone.id, revokedAt()])
      expect(code).to.equal(0)
      expect(stdout)
        .to.match(/TokenRevoked +jwt acct_1/)
        .and.contain('is refused: at revision 1 the token is revoked')
        .and.match(/^before +.* was the newest$/m)
    })

    it('explains from which addresses a token was accepted', async () => {
      const bound = { name: 'bound', allowed_ips: ['192.0.2.0/24', '2001:db8::1'] }
      const { body } = await apiOf(url).create(bound)
      const now = new Date().toISOString()
      const { stdout } = await run(['explain', body.id, now])
      expect(stdout).to.match(/is accepted: .*, from these addresses only: 192\.0\.2\.0\/24, 2001:db8::1\.\n/)
      const { decision } = await runJson<Explained>(['explain', body.id, now])
      expect(decision).to.deep.include({ allowed_ips: bound.allowed_ips })
    })

    it('says of a time to come that it has not come yet', async () => {
      const future = '2999-01-01T00:00:00Z'
      for (const args of [
        ['explain', kept.id, future],
        ['history', kept.id, '--at', future],
      ])
        expect((await run(args)).stdout, args[0]).to.contain('That time has not come yet')
      expect(await runJson(['explain', kept.id, future])).to.include({ in_future: true })
      const now = new Date().toISOString()
      expect((await run(['explain', kept.id, now])).stdout).not.to.contain('not come yet')
      expect(await runJson(['explain', kept.id, now])).to.include({ in_future: false })
    })

    it('answers 1 for a token that was not, and 2 to what is no time', async () => {
      expect((await run(['explain', randomUUID(), revokedAt()])).code).to.equal(1)
      expect((await run(['explain', gone.id, '2020-01-01T00:00:00Z'])).code).to.equal(1)
      for (const time of ['0', 'noon', '2026-02-30']) {
        const { code, stderr } = await run(['explain', gone.id, time])
        expect(code, time).to.equal(2)
        expect(stderr).to.contain('RFC 3339').and.contain('or a date')
      }
      const today = revokedAt().slice(0, 10)
      const atItsEnd = await runJson<Explained & { at: string }>(['explain', gone.id, today])
      expect([atItsEnd.at, atItsEnd.decision.status]).to.deep.equal([`${today}T23:59:59.999Z`, 'revoked'])
    })

    it('finds no decision that the history does not allow', async () => {
      const audited = await runJson<Audited>(['audit', 'decisions'])
      expect(audited).to.deep.include({ ok: true, found: [], uses: 3, revoked_tokens: 1 })
      expect((await run(['audit', 'decisions'])).stdout).to.contain(
        'No revoked token and no retired secret was accepted.',
      )
    })

    it('says who opened the page, from where, and not twice for a link that was used twice', async () => {
      const { url: link } = await runJson<{ url: string }>(['page', '--account', 'acct_of_ada'])
      for (const status of [204, 409]) expect((await exchange(url, codeOf(link))).status).to.equal(status)
      const audited = await runJson<{ ok: boolean; found: object[] }>(['audit', 'sessions'])
      expect(audited).to.deep.include({ ok: true, sessions: 1 })
      expect(audited.found[0]).to.include({
        kind: 'session',
        account_id: 'acct_of_ada',
        ip: '127.0.0.1',
        user_agent: 'node',
      })
      const text = (await run(['audit', 'sessions'])).stdout
      expect(text).to.match(/ of account acct_of_ada may read, write, from 127\.0\.0\.1, node \(request /)
      const ofOther = await runJson<{ found: object[] }>(['audit', 'sessions', '--account', 'acct_1'])
      expect(ofOther.found).to.deep.equal([])
    })

    it('answers 2 to an audit of nothing, and to a tolerance that is none', async () => {
      for (const args of [
        [],
        ['everything'],
        ['decisions', '--tolerance', '1s'],
        ['decisions', 'more'],
        ['decisions', '--account', 'acct_1'],
        ['sessions', '--tolerance', '1'],
      ]) {
        expect((await run(['audit', ...args])).code, args.join(' ')).to.equal(2)
      }
    })

    it('finds the links whole', async () => {
      const verified = await runJson<Verified>(['verify', '--chain'])
      expect(verified).to.deep.include({ ok: true, damaged: [], checkpoint: null })
      // Two creations, a change, a revocation, and the three uses: one event, if all were in the same flush.
      expect(verified.events).to.be.at.least(5)
      expect((await run(['verify', '--chain'])).stdout).to.contain('No link is broken.')
    })

    it('makes a checkpoint, with a key for its owner alone, and holds the log to it', async () => {
      const { code, stdout } = await run(['checkpoint'])
      expect(code).to.equal(0)
      expect((await stat(join(folder, 'data/audit-key.pem'))).mode & 0o777).to.equal(0o600)
      await writeFile(checkpointFile, stdout)
      const { events } = JSON.parse(stdout) as Checkpoint
      await apiOf(url).create({ name: 'later' })
      const verified = await runJson<Verified>(['verify', '--against', checkpointFile])
      expect(verified.checkpoint).to.deep.include({ events, found: [], expired: [] })
      expect(verified.events).to.equal(events + 1)
      expect((await run(['verify', '--against', checkpointFile])).stdout).to.contain(
        `The log holds the ${events} events of the checkpoint of `,
      )
    })

    it('signs with the key it is told, and checks with the public half', async () => {
      const { privateKey, publicKey } = generateKeyPairSync('ed25519')
      await writeFile(join(folder, 'own.pem'), privateKey.export({ type: 'pkcs8', format: 'pem' }))
      await writeFile(join(folder, 'own.pub'), publicKey.export({ type: 'spki', format: 'pem' }))
      const { stdout } = await run(['checkpoint'], { AUDIT_KEY_FILE: 'own.pem', NODE_ENV: 'production' })
      const file = join(folder, 'own.json')
      await writeFile(file, stdout)
      const against = ['verify', '--against', file]
      expect((await run(against, { AUDIT_KEY_FILE: 'own.pub' })).code).to.equal(0)
      const other = await run(against)
      expect([other.code, other.stdout]).to.deep.equal([1, ''])
      expect(other.stderr).to.contain('another key')
      expect((await run(['checkpoint'], { AUDIT_KEY_FILE: 'own.pub' })).code).to.equal(2)
    })

    it('makes no key in production, and says so', async () => {
      for (const args of [['checkpoint'], ['verify', '--against', checkpointFile]]) {
        const { code, stdout, stderr } = await run(args, { NODE_ENV: 'production' })
        expect([code, stdout]).to.deep.equal([2, ''])
        expect(stderr).to.contain('AUDIT_KEY_FILE must be set in production')
      }
    })

    it('refuses a checkpoint that was altered, and what is none', async () => {
      const text = await readFile(checkpointFile, 'utf8')
      const file = join(folder, 'altered.json')
      for (const altered of [text.replace(/"events": \d+/, '"events": 1'), '{}', '']) {
        await writeFile(file, altered)
        const { code, stdout, stderr } = await run(['verify', '--against', file])
        expect([code, stdout], altered).to.deep.equal([1, ''])
        expect(stderr).to.contain('checkpoint')
      }
      // 1 is for what was altered, and must not be had by a mistyped name.
      const missing = await run(['verify', '--against', join(folder, 'none.json')])
      expect([missing.code, missing.stdout]).to.deep.equal([2, ''])
      expect(missing.stderr).to.contain('--against').and.not.contain('none.json')
      expect((await run(['verify', '--against', folder])).code).to.equal(2)
    })

    it('never showed a secret, and did not disturb the service', async () => {
      for (const secret of [kept.token, gone.token, SECRET, PEPPERS.split(':')[1] ?? '', 'PRIVATE KEY'])
        expect(outputs.join('\n')).not.to.contain(secret)
      expect(await apiOf(url).use(kept.token)).to.equal(200)
    })
  })
}
