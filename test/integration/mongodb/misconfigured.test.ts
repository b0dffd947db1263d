import { expect } from 'chai'
import { MongoClient } from 'mongodb'
import { projections } from '../../../projections/index.ts'
import { openMongoReadModel } from '../../../src/adapters/mongodb/readModel.ts'
import { StoreMisconfiguredError, StoreUnavailableError } from '../../../src/application/ports/errors.ts'
import { rejection } from '../../contract/fixtures.ts'
import { type Authority, createAuthority } from '../../support/stores/certificates.ts'
import { eventually } from '../../support/suite/eventually.ts'
import { describeWithMongod, type Mongod, startMongod } from '../../support/stores/mongod.ts'

const CALLED = 'READ_MODEL_URL mongodb://here'
const open = (url: string) => openMongoReadModel(url, { called: CALLED })

/** One sentence, without any secret. */
function expectSaid(error: unknown, says: RegExp): void {
  expect(error, String(error)).to.be.instanceOf(StoreMisconfiguredError)
  const { message } = error as Error
  expect(message).to.match(/^READ_MODEL_URL mongodb:\/\/here: [^\n]+$/)
  expect(message).to.match(says)
  expect(message).to.not.match(/s3cret|wr0ng/)
}

describeWithMongod('MongoDB, set up wrongly', () => {
  let mongod: Mongod
  const started = async (...args: Parameters<typeof startMongod>): Promise<void> => {
    mongod = await startMongod(...args)
  }

  describe('with users', () => {
    const urlOf = (user: string, password: string) =>
      `mongodb://${user}:${password}@127.0.0.1:${mongod.port}/tokens?directConnection=true&authSource=admin`

    before(async () => {
      await started({ more: { flags: ['--auth'], query: '' } })
      const admin = async (url: string, work: (client: MongoClient) => Promise<unknown>): Promise<void> => {
        const client = new MongoClient(url)
        await work(client)
        await client.close()
      }
      const create = (user: string, roles: object[] | string[]) => (client: MongoClient) =>
        client.db('admin').command({ createUser: user, pwd: 's3cret', roles })
      await admin(mongod.url('admin'), create('root', ['root']))
      await admin(urlOf('root', 's3cret'), async (client) => {
        await create('service', [
          { role: 'readWrite', db: 'tokens' },
          { role: 'dbAdmin', db: 'tokens' },
        ])(client)
        await create('reader', [{ role: 'read', db: 'tokens' }])(client)
      })
    })
    after(() => mongod.stop())

    it('says that the user or the password is wrong', async () => {
      expectSaid(await rejection(open(urlOf('service', 'wr0ng'))), /refuses the user or the password/)
      expectSaid(await rejection(open(urlOf('nobody', 's3cret'))), /refuses the user or the password/)
    })

    it('says which rights a user lacks', async () => {
      const model = await open(urlOf('reader', 's3cret'))
      expectSaid(await rejection(model.open(projections)), /roles readWrite and dbAdmin/)
      await model.close()
      const nobody = await open(mongod.url('tokens'))
      expectSaid(await rejection(nobody.ping()), /roles readWrite and dbAdmin/)
      await nobody.close()
    })

    it('says so while it runs, when the password was changed, and goes on when it is mended', async () => {
      const model = await open(urlOf('service', 's3cret'))
      await model.open(projections)
      const root = new MongoClient(urlOf('root', 's3cret'))
      const password = (pwd: string) =>
        root.db('admin').command({ updateUser: 'service', pwd, writeConcern: { w: 1, j: true } })
      await password('another')
      // Connections that there are stay good: new ones are needed.
      await mongod.kill()
      await mongod.restart()
      await eventually(async () =>
        expectSaid(await rejection(model.ping()), /refuses the user or the password/),
      )
      await password('s3cret')
      await root.close()
      await eventually(() => model.ping())
      await model.close()
    })

    it('says that the server does not speak TLS', async () => {
      expectSaid(
        await rejection(open(`${urlOf('service', 's3cret')}&tls=true`)),
        /does not speak TLS: say tls=false/,
      )
    })
  })

  describe('with TLS', () => {
    let authority: Authority
    let other: Authority
    const tlsOf = ({ file }: Authority) => `&tls=true&tlsCAFile=${file}`
    const startTls = async (names: string): Promise<void> => {
      const { pem } = authority.issue(names)
      const flags = ['--tlsMode', 'requireTLS', '--tlsCertificateKeyFile', pem, '--tlsCAFile', authority.file]
      const query = `${tlsOf(authority)}&tlsAllowInvalidHostnames=true`
      await started({ more: { flags: [...flags, '--tlsAllowConnectionsWithoutCertificates'], query } })
    }

    before(() => {
      authority = createAuthority()
      other = createAuthority()
    })
    after(() => {
      authority.remove()
      other.remove()
    })
    afterEach(() => mongod.stop())

    it('says what is wrong with the address or the certificate', async () => {
      await startTls('IP:127.0.0.1')
      const url = mongod.url('tokens')
      await (await open(url + tlsOf(authority))).close()
      expectSaid(await rejection(open(url + tlsOf(other))), /not signed by an authority that is trusted here/)
      expectSaid(await rejection(open(url)), /speaks TLS: do not say tls=false in this address, but tls=true/)
      expectSaid(await rejection(open(`${url}&tls=true&tlsCAFile=/nowhere.pem`)), /there is no file/)
    })

    it('says that the certificate does not have the name', async () => {
      await startTls('DNS:else.example')
      const url = mongod.url('tokens')
      expectSaid(await rejection(open(url + tlsOf(authority))), /does not have the name/)
    })
  })

  describe('that is not there', () => {
    it('is an outage, but for a host that there is not', async () => {
      expectSaid(await rejection(open('mongodb://nosuch.invalid:1/')), /there is no host with the name/)
      expectSaid(await rejection(open('mongodb+srv://nosuch.invalid/')), /there is no host with the name/)
      const error = await rejection(open('mongodb://127.0.0.1:1/'))
      expect(error).to.be.instanceOf(StoreUnavailableError).and.not.instanceOf(StoreMisconfiguredError)
    })
  })
})
