import { expect } from 'chai'
import { apiOf } from '../support/callers/api.ts'
import { type Authority, createAuthority } from '../support/stores/certificates.ts'
import { cli } from '../support/processes/cli.ts'
import { untilServed } from '../support/callers/api.ts'
import { eventually } from '../support/suite/eventually.ts'
import { describeWith } from '../support/suite/needs.ts'
import { endServices, failingService, ownFolder, startService } from '../support/processes/service.ts'
import { type StandIn, startStandIn } from '../support/standIn/standIn.ts'

const needs = { argument: 'version', required: process.env.CI === 'true' }
const NAMES = 'IP:127.0.0.1,DNS:localhost'

describeWith('openssl', needs, 'An EventStoreDB that refuses the service', () => {
  let authority: Authority
  let standIn: StandIn
  const rights = { username: 'service', password: 's3cret' }
  const urlWith = (password: string) =>
    `esdb://service:${password}@127.0.0.1:${standIn.port}?tlsCAFile=${authority.file}`

  before(() => {
    authority = createAuthority()
  })
  after(() => authority.remove())
  beforeEach(async () => {
    standIn = await startStandIn()
    await speak(authority.issue(NAMES))
    standIn.admit(rights)
  })
  afterEach(async () => {
    await endServices()
    await standIn.kill()
  })

  async function speak(identity: ReturnType<Authority['issue']> | null): Promise<void> {
    await standIn.kill()
    standIn.identify(identity)
    await standIn.restart()
  }

  const refusals: [what: string, says: RegExp, at: () => Promise<string>][] = [
    ['the password', /refuses the user or the password/, async () => urlWith('wr0ng')],
    [
      'reading $all',
      /may not read \$all/,
      async () => {
        standIn.admit({ ...rights, may: (_, stream) => stream !== '$all' })
        return urlWith('s3cret')
      },
    ],
    [
      'appending',
      /may not append to streams like apiToken-…/,
      async () => {
        standIn.admit({ ...rights, may: (what) => what === 'read' })
        return urlWith('s3cret')
      },
    ],
    [
      'TLS',
      /does not speak TLS/,
      async () => {
        await speak(null)
        return urlWith('s3cret')
      },
    ],
  ]
  for (const [what, says, at] of refusals) {
    it(`at the start, ${what}, ends it with one sentence that names the setting`, async () => {
      const folder = await ownFolder()
      const url = await at()
      const { code, stdout, stderr } = await failingService({ EVENT_STORE_URL: url }, folder)
      expect(code).to.equal(1)
      expect(stderr).to.match(says)
      const warning = /Warning|--trace-deprecation/
      const lines = stderr.split('\n').filter((line) => line !== '' && !warning.test(line))
      expect(lines).to.have.length(1)
      expect(lines[0]).to.match(/^EVENT_STORE_URL esdb:\/\/127\.0\.0\.1:\d+: /)
      expect(stdout, 'nothing is tried again').to.not.include('cannot be opened yet')
      expect(stdout + stderr).to.not.match(/s3cret|wr0ng/)
    })
  }

  it('is what commands could not look at', async () => {
    const { code, stderr } = await cli(['export'], await ownFolder(), { EVENT_STORE_URL: urlWith('wr0ng') })
    expect(code).to.equal(3)
    expect(stderr).to.match(/^EVENT_STORE_URL .*refuses the user or the password in this address$/m)
    expect(stderr).to.not.match(/ at .*\.js:\d/)
  })

  it('while it runs, turns readiness red with that sentence, until it is mended', async () => {
    const service = await startService({
      EVENT_STORE_URL: urlWith('s3cret'),
      EVENT_STORE_SHARED: 'false',
      USAGE_FLUSH_MS: '50',
    })
    const api = apiOf(service.url)
    const { body } = await untilServed(() => api.create({ name: 'one' }))
    const readiness = async () => {
      const answer = await fetch(`${service.url}/health/ready`)
      const { reason, checks } = (await answer.json()) as { reason: string | null; checks: object }
      return { status: answer.status, reason, checks }
    }
    await eventually(async () => expect(await readiness()).to.include({ status: 200, reason: null }))

    standIn.admit({ ...rights, password: 'rotated' })
    await eventually(async () => {
      const { status, reason, checks } = await readiness()
      expect(status).to.equal(503)
      expect(reason).to.equal('the server refuses the user or the password in this address')
      expect(checks).to.include({ event_store: 'misconfigured' })
    })
    const said = (): number => service.output().match(/refuses the user or the password/g)?.length ?? 0
    await eventually(() => expect(said()).to.be.above(0))
    const once = said()
    for (let n = 0; n < 20; n++) {
      expect(await api.use(body.token), 'tokens are accepted all the same').to.equal(200)
      await new Promise((resolve) => setTimeout(resolve, 100))
    }
    expect(said(), 'it is not logged again').to.equal(once)

    standIn.admit(rights)
    await eventually(async () => expect(await readiness()).to.include({ status: 200, reason: null }))
    expect((await untilServed(() => api.revoke(body.id))).status).to.equal(204)
    await eventually(() => expect(service.output()).to.include('the store can be used again'))
  })

  it('notices an expired certificate when it has to connect again', async () => {
    const service = await startService({ EVENT_STORE_URL: urlWith('s3cret'), EVENT_STORE_SHARED: 'false' })
    await speak(authority.issue(NAMES, -1))
    const ready = () => fetch(`${service.url}/health/ready`)
    await eventually(async () => {
      const answer = await ready()
      expect(answer.status).to.equal(503)
      expect(await answer.text()).to.include('has expired')
    })
    await speak(authority.issue(NAMES))
    await eventually(async () => expect((await ready()).status).to.equal(200))
  })
})
