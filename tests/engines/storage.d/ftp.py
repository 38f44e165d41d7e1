"""An FTP server: ftp.py PORT FOLDER USER PASSWORD [CERTIFICATE]. With a certificate nothing is answered in clear.

Anonymous callers may read.
"""

import sys

from pyftpdlib.authorizers import DummyAuthorizer
from pyftpdlib.handlers import FTPHandler, TLS_FTPHandler
from pyftpdlib.servers import FTPServer

port, folder, user, password, *certificate = sys.argv[1:]
authorizer = DummyAuthorizer()
authorizer.add_user(user, password, folder, perm="elradfmwMT")
authorizer.add_anonymous(folder)
handler = TLS_FTPHandler if certificate else FTPHandler
if certificate:
    handler.certfile = certificate[0]
    handler.tls_control_required = handler.tls_data_required = True
handler.authorizer = authorizer
server = FTPServer(("127.0.0.1", int(port)), handler)
# One test opens as many as it likes.
server.max_cons = 512
server.serve_forever()
