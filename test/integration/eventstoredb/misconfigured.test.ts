import { copyFile, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { expect } from 'chai'
import { StoreMisconfiguredError, StoreUnavailableError } from '../../../src/application/ports/errors.ts'
import { openForOneTest, REAL_URL } from '../../contract/eventstoredb.server.ts'
import { makeEvent, rejection } from '../../contract/fixtures.ts'
import { type Authority, createAuthority } from '../../support/stores/certificates.ts'
import { describeWith } from '../../support/suite/needs.ts'
import { type Identity, type StandIn, startStandIn } from '../../support/standIn/standIn.ts'

const NAMES = 'IP:127.0.0.1,DNS:localhost'

// A real server does not misbehave on command.
if (!REAL_URL) {
  const needs = { argument: 'version', required: process.env.CI === 'true' }
  describeWith('openssl', needs, 'EventStoreDB (stand-in), set up wrongly', wrongSetUp)
}

function wrongSetUp(this: Mocha.Suite): void {
  let authority: Authority
  let other: Authority
  let standIn: StandIn
  const open = openForOneTest()

  before(() => {
    authority = createAuthority()
    other = createAuthority()
  })
  after(() => {
    authority.remove()
    other.remove()
  })
  beforeEach(async () => {
    standIn = await startStandIn()
    standIn.admit({ username: 'service', password: 's3cret' })
  })
  afterEach(() => standIn.kill())

  async function speak(identity: Identity | null): Promise<void> {
    await standIn.kill()
    standIn.identify(identity)
    await standIn.restart()
  }

  /** What head, a read and an append are refused with. */
  async function reasonsAt(url: string): Promise<(string | undefined)[]> {
    const store = await open(url, { called: 'EVENT_STORE_URL esdb://here' })
    const failures = [
      await rejection(store.head()),
      await rejection(store.readStream('apiToken-1')),
      await rejection(store.append('apiToken-1', 'no_stream', [makeEvent()])),
    ]
    return failures.map((error) => (error instanceof StoreMisconfiguredError ? error.message : undefined))
  }

  const secure = (host = '127.0.0.1', query = `tlsCAFile=${authority.file}`, password = 's3cret') =>
    `esdb://service:${password}@${host}:${standIn.port}?${query}`

  it('with everything right serves over TLS', async () => {
    await speak(authority.issue(NAMES))
    const store = await open(secure())
    await store.append('apiToken-1', 'no_stream', [makeEvent()])
    expect(await store.readStream('apiToken-1')).to.have.length(1)
    expect(await store.head()).to.be.a('string')
  })

  const faults: [what: string, says: RegExp, at: () => Promise<string>][] = [
    [
      'a wrong password',
      /refuses the user or the password in this address$/,
      async () => {
        await speak(authority.issue(NAMES))
        return secure('127.0.0.1', `tlsCAFile=${authority.file}`, 'wrong')
      },
    ],
    ['no user at all', /wants a user and a password/, async () => standIn.url],
    [
      'an authority that did not sign the certificate',
      /not signed by an authority that is trusted here.*tlsCAFile/,
      async () => {
        await speak(authority.issue(NAMES))
        return secure('127.0.0.1', `tlsCAFile=${other.file}`)
      },
    ],
    [
      'no authority',
      /not signed by an authority that is trusted here.*tlsCAFile/,
      async () => {
        await speak(authority.issue(NAMES))
        return secure('127.0.0.1', 'tls=true')
      },
    ],
    [
      'a name that the certificate does not have',
      /does not have the name/,
      async () => {
        await speak(authority.issue('DNS:else.example'))
        return secure()
      },
    ],
    [
      'an expired certificate',
      /has expired/,
      async () => {
        await speak(authority.issue(NAMES, -1))
        return secure()
      },
    ],
    [
      'an address without TLS for a server that has it',
      /speaks TLS: do not say tls=false/,
      async () => {
        await speak(authority.issue(NAMES))
        return standIn.url
      },
    ],
    ['an address with TLS for a server without', /does not speak TLS: say tls=false/, async () => secure()],
    [
      'a host that there is not',
      /there is no host with the name/,
      async () => 'esdb://nosuch.invalid:2113?tls=false',
    ],
    [
      'a cluster whose certificates nobody trusts',
      /not signed by an authority that is trusted here.*tlsCAFile/,
      async () => {
        await speak(authority.issue(NAMES))
        const nodes = `localhost:${standIn.port},127.0.0.1:${standIn.port}`
        return `esdb://service:s3cret@${nodes}?tls=true&maxDiscoverAttempts=2&discoveryInterval=10`
      },
    ],
  ]
  for (const [what, says, at] of faults) {
    it(`says so in one sentence that names the setting: ${what}`, async () => {
      for (const reason of await reasonsAt(await at())) {
        expect(reason).to.match(/^EVENT_STORE_URL esdb:\/\/here: [^\n]+$/)
        expect(reason).to.match(says)
        expect(reason).to.not.match(/s3cret|wrong[^ -]/)
      }
    })
  }

  it('says which right a user lacks', async () => {
    await speak(authority.issue(NAMES))
    const rights = { username: 'service', password: 's3cret' }
    standIn.admit({ ...rights, may: (what, stream) => what === 'append' || stream !== '$all' })
    const store = await open(secure())
    for (const failure of [
      await rejection(store.head()),
      await rejection(store.at('0'.repeat(20) + '-' + '0'.repeat(20))),
    ])
      expect(failure).to.be.instanceOf(StoreMisconfiguredError).with.property('message').that.includes('$all')
    standIn.admit({ ...rights, may: (what) => what === 'read' })
    const failure = await rejection(store.append('apiToken-1', 'no_stream', [makeEvent()]))
    expect(failure).to.be.instanceOf(StoreMisconfiguredError)
    expect(String(failure)).to.include('append to streams like apiToken-…')
  })

  it('is an outage where it is only away', async () => {
    await speak(authority.issue(NAMES))
    const store = await open(secure())
    await store.head()
    await standIn.kill()
    const failure = await rejection(store.head())
    expect(failure).to.be.instanceOf(StoreUnavailableError).and.not.instanceOf(StoreMisconfiguredError)
  })

  it('is an outage, too, where the file with the authority is away meanwhile', async () => {
    await speak(authority.issue(NAMES))
    const file = join(await mkdtemp(join(tmpdir(), 'tokenledger-')), 'ca.pem')
    await copyFile(authority.file, file)
    const store = await open(secure('127.0.0.1', `tlsCAFile=${file}`))
    await store.head()
    await standIn.kill()
    await rm(dirname(file), { recursive: true })
    const failure = await rejection(store.head())
    expect(failure).to.be.instanceOf(StoreUnavailableError).and.not.instanceOf(StoreMisconfiguredError)
  })
}
