import { expect } from 'chai'
import { shownUrl, sqlitePath } from '../../src/stores.ts'

describe('the URL of a store', () => {
  it('is shown without user, password and options', () => {
    const urls = [
      ['esdb://admin:s3cret@one:2113,two:2113?tls=true&userKeyFile=x', 'esdb://one:2113,two:2113'],
      ['esdb+discover://admin:s3c@ret@one', 'esdb+discover://one'],
      [
        'mongodb://user:s3cret@one,two/tokens?replicaSet=rs0&tlsCertificateKeyFilePassword=x',
        'mongodb://one,two/tokens',
      ],
      ['mongodb+srv://one/tokens', 'mongodb+srv://one/tokens'],
      ['sqlite:./data/events.db', 'sqlite:./data/events.db'],
    ]
    for (const [url = '', shown] of urls) expect(shownUrl(url)).to.equal(shown)
  })

  it('names a file, or a server', () => {
    expect(sqlitePath('sqlite:./data/a@b.db')).to.equal('./data/a@b.db')
    expect(sqlitePath('esdb://sqlite:2113')).to.equal(null)
  })
})
