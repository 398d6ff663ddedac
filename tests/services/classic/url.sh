export URLEND="lab/tree/home/${PW_USER}?dt=\"+(new Date()).getTime()"
